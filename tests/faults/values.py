"""Values to try for a field of the manifest, generated from its schema."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from rljob_operator.crd.definition import object_schema

Schema = dict[str, Any]
Kind = Literal["other", "bound", "invalid"]
# Texts of the forms that patterns of the manifest ask for.
_TEXTS = (
    "one",
    "my.hooks:one",
    "https://one/score",
    "redis://one:6379",
    "/one",
    "1Gi",
    "one.dev/a",
)
_MANY_PODS = ("rollout.replicas", "rollout.autoscaling.minReplicas")  # their upper bounds are left


@dataclass(frozen=True)
class Change:
    """A value for a field.

    Args:
        path: below spec; `[]` stands for the first item of a list.
        kind: a valid other value; the least or most that is allowed, which other fields may
            contradict; or one that must be refused.
        value: to be set; None: the field is taken away.
    """

    path: str
    kind: Kind
    value: Any

    def __str__(self) -> str:
        text = repr(self.value)
        return f"{self.path} = {text if len(text) < 80 else text[:80] + '...'} ({self.kind})"


def leaves(part: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """The fields of a schema that have none inside; items of lists as `[]`."""
    for name, field in part["properties"].items():
        here = f"{path}.{name}".lstrip(".")
        inside = field.get("items", field)
        if "properties" in inside:
            yield from leaves(inside, here if inside is field else f"{here}[]")
        else:
            yield here, field


FIELDS = dict(leaves(object_schema()["properties"]["spec"]))


def changes(path: str, now: Any) -> list[Change]:
    """What a field is set to, one after the other.

    Args:
        path: of the field.
        now: its value; None: it has none.
    """
    field = FIELDS[path]
    tried: list[tuple[Kind, Any]] = []
    if field["type"] != "object":
        tried += [("other", _other(field, now))]
        tried += [("bound", each) for each in _bounds(field)]
    tried += [("invalid", each) for each in _invalid(field)]
    if now is not None and field.get("nullable"):
        tried.append(("bound", None))
    most = field.get("maximum") if path in _MANY_PODS else None
    return [
        Change(path, kind, value)
        for kind, value in tried
        if value != now and not (kind == "bound" and most is not None and value == most)
    ]


def _other(field: Schema, now: Any) -> Any:
    if "enum" in field:
        return next(choice for choice in field["enum"] if choice != now)
    match field["type"]:
        case "boolean":
            return not now
        case "integer":
            return (now or field.get("minimum", 0)) + 1
        case "number":
            return now / 2 if now else field.get("minimum", 0) + 0.5
        case "array":
            return [*(now or []), _other(field["items"], now[-1] if now else None)]
    fits = [text for text in _TEXTS if re.search(field.get("pattern", ""), text)]
    return f"{now}x" if now and re.search(field.get("pattern", ""), f"{now}x") else fits[0]


def _bounds(field: Schema) -> list[Any]:
    if "enum" in field:
        return []
    least, most = field.get("minimum"), field.get("maximum")
    match field["type"]:
        case "integer":
            return [each for each in (least, most) if each is not None]
        case "number":
            if least is not None and field.get("exclusiveMinimum"):
                least += 1e-6
            if most is not None and field.get("exclusiveMaximum"):
                most -= 1e-6
            return [each for each in (least, most) if each is not None]
        case "array":
            return [] if field.get("minItems") else [[]]
        case "string":
            long = "a" * field.get("maxLength", 100)
            return [long] if re.search(field.get("pattern", ""), long) else []
    return []


def _invalid(field: Schema) -> list[Any]:
    if "enum" in field:
        return ["no-such-choice", 7]
    least, most = field.get("minimum"), field.get("maximum")
    match field["type"]:
        case "boolean":
            return ["maybe"]
        case "integer" | "number":
            below = [] if least is None else [least if field.get("exclusiveMinimum") else least - 1]
            above = [] if most is None else [most if field.get("exclusiveMaximum") else most + 1]
            return [*below, *above, "many"]
        case "array":
            return ["text", [_invalid(field["items"])[0]]]
        case "string":
            long = ["a" * (field["maxLength"] + 1)] if "maxLength" in field else []
            return [*long, *(["", "\t!"] if "pattern" in field else []), 7]
    return ["text", 7]
