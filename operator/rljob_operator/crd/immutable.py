"""Transition rules in CEL for the fields that are immutable in `rljob.api.change`."""

from collections.abc import Iterator
from typing import Any

from rljob.api.change import GIVEN_ONCE, STAYS_TRAINING, effect, is_divided
from rljob.api.rules.cel import Cel
from rljob_operator.crd.schema import ANYTHING

WHY = "(immutable; for another value, create a new job)"
PLAIN = ("boolean", "integer", "number")
LONGEST_TEXT = 4096  # characters of a path; what is longer may be a text of several lines


def transitions(spec: dict[str, Any]) -> list[Cel]:
    """A rule for each immutable field of the spec's structural schema, and `STAYS_TRAINING`."""
    return [*_rules(spec, "spec", immutable=False), _stays_training()]


def _stays_training() -> Cel:
    part, _, name = f"spec.{STAYS_TRAINING}".rpartition(".")
    return Cel(
        at=part,
        rule=f"self.{name} > 0 || oldSelf.{name} == 0",
        message="found 0, allowed at least 1 (the job trains; to evaluate it, create a new job)",
        field=name,
    )


def _rules(part: dict[str, Any], at: str, *, immutable: bool) -> Iterator[Cel]:
    for name, field in part["properties"].items():
        here = f"{at}.{name}"
        fixed = immutable or effect(here.removeprefix("spec.")) == "immutable"
        optional = field.get("nullable", False) or ANYTHING in part
        inside = "properties" in field and (
            ANYTHING not in field or is_divided(here.removeprefix("spec."))
        )
        if optional and (fixed or here.removeprefix("spec.") in GIVEN_ONCE):
            yield _given_or_not(at, name)
        if inside:
            yield from _rules(field, here, immutable=fixed)
        elif fixed:
            yield _same(at, name, field, optional=optional)


def _given_or_not(at: str, name: str) -> Cel:
    return Cel(
        at=at,
        rule=f"has(self.{name}) == has(oldSelf.{name})",
        message=f"found {{has(self.{name}) ? 'a value' : 'null'}}, allowed "
        f"{{has(oldSelf.{name}) ? 'the old value' : 'null'}} {WHY}",
        field=name,
    )


def _same(at: str, name: str, field: dict[str, Any], *, optional: bool) -> Cel:
    rule = f"self.{name} == oldSelf.{name}"
    if optional:  # the other rule checks whether it is present
        rule = f"!has(self.{name}) || !has(oldSelf.{name}) || {rule}"
    if field["type"] in PLAIN:
        values = f"found {{self.{name}}}, allowed {{oldSelf.{name}}}"
    # A message must be a short line, or the API server says `failed rule` instead.
    elif field["type"] == "string" and field.get("maxLength", 0) <= LONGEST_TEXT:
        values = f'found "{{self.{name}}}", allowed "{{oldSelf.{name}}}"'
    else:
        values = "found another value, allowed the old value"
    return Cel(at=at, rule=rule, message=f"{values} {WHY}", field=name)
