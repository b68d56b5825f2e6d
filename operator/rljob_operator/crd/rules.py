"""Adds the CEL rules of `rljob.api.rules` to the parts of a structural schema."""

from collections.abc import Callable, Iterable
from typing import Any

from rljob.api.rules import RULES
from rljob.api.rules.cel import TWINS, Cel
from rljob.api.rules.shape import SHAPE_RULES
from rljob_operator.crd.schema import VALIDATIONS


def place(rules: Iterable[Cel], schema: dict[str, Any]) -> None:
    """Add each rule to the part of the schema that it checks.

    Args:
        rules: the rules; their `at` starts at the object.
        schema: schema of the object; changed in place.

    Raises:
        KeyError: `at` or the field of a rule is not in the schema.
    """
    for rule in rules:
        part = _part(schema, rule.at)
        validation = {"rule": rule.rule}
        if "{" in rule.message:
            validation["messageExpression"] = rule.message_expression
        else:
            validation["message"] = rule.message
        if rule.field:
            _part(part, rule.field)
            validation["fieldPath"] = f".{rule.field}"
        if rule.reason != "FieldValueInvalid":
            validation["reason"] = rule.reason
        part.setdefault(VALIDATIONS, []).append(validation)


def of_the_manifest() -> list[Cel]:
    """The CEL counterparts of all rules, in the order of `rljob validate`."""
    rules: Iterable[Callable[..., object]] = (*RULES, *SHAPE_RULES)
    return [cel for rule in rules for cel in TWINS.get(rule, ())]


def _part(schema: dict[str, Any], path: str) -> dict[str, Any]:
    for step in path.split("."):
        schema = schema["properties"][step.removesuffix("[]")]
        if step.endswith("[]"):
            schema = schema["items"]
    return schema
