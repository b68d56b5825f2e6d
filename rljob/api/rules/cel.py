"""CEL counterparts of the rules, which the API server checks as part of the CRD.

A rule that reads files or free-form options has none: the API server can't see those.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

Reason = Literal["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired"]
Function = TypeVar("Function", bound=Callable[..., object])
PLACE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Cel:
    """A rule that the API server checks.

    Args:
        at: the part of the manifest that is `self`, with dots, items of a list as `[]`. The rule
            is not evaluated if the part is null.
        rule: an expression that is true for a valid part. Fields with a default are always
            present; `has(self.field)` is false for null.
        message: what `rljob validate` says, with expressions in braces: `found {self.replicas}`.
        field: path of the field to name, from `at`; empty: the part itself.
        reason: the kind of mistake.
    """

    at: str
    rule: str
    message: str
    field: str = ""
    reason: Reason = "FieldValueInvalid"

    @property
    def message_expression(self) -> str:
        """The message as an expression; see `expression`."""
        return expression(self.message)


TWINS: dict[Callable[..., object], tuple[Cel, ...]] = {}


def twin(*cels: Cel) -> Callable[[Function], Function]:
    """Register the CEL counterparts of a rule."""

    def note(rule: Function) -> Function:
        TWINS[rule] = cels
        return rule

    return note


def expression(message: str) -> str:
    """`found {self.replicas} pods` as the CEL expression `"found %s pods".format([self.replicas])`.

    It does not concatenate with `+`: the API server knows no bound on the length of
    `string(number)`, so the estimated cost would exceed its limit.
    """
    parts = PLACE.split(message)
    text = json.dumps("%s".join(parts[::2]))
    return f"{text}.format([{', '.join(parts[1::2])}])"
