"""The twins of the rules in CEL, the language in which a CRD tells the API server its rules.

A rule that reads files or free-form options has none: there the API server can't look.
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
    """What the API server checks.

    Args:
        at: the part of the manifest that is `self`, with dots, items of a list as `[]`. The rule
            is not asked where the part is null.
        rule: an expression that is true where all is well. Fields with a default are always there;
            `has(self.field)` is false for null.
        message: what `rljob validate` says, with expressions in braces: `found {self.replicas}`.
        field: path of the field to name, from `at`; empty: the part itself.
        reason: what kind of mistake it is.
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
    """Notes what the API server checks in place of a rule."""

    def note(rule: Function) -> Function:
        TWINS[rule] = cels
        return rule

    return note


def expression(message: str) -> str:
    """`found {self.replicas} pods` as the CEL expression `"found %s pods".format([self.replicas])`.

    Not put together with `+`: to the API server the length of `string(number)` has no bound, and
    so neither has the cost of the sum.
    """
    parts = PLACE.split(message)
    text = json.dumps("%s".join(parts[::2]))
    return f"{text}.format([{', '.join(parts[1::2])}])"
