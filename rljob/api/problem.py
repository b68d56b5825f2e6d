"""One mistake in a manifest: where it is, what was found, what is allowed."""

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

Path = tuple[str | int, ...]  # keys and list indices from the document's root
NOTHING = "nothing"  # `found` of a missing field
PLAIN_KEY = re.compile(r"[\w./-]+")
LONGEST_TEXT = 60  # characters of a value that a message repeats


@dataclass(frozen=True)
class Problem:
    """A mistake of the user.

    Args:
        path: keys and list indices from the root of the document; empty for the document itself.
        found: the value found, in words.
        allowed: the allowed values, in words; empty if `message` is complete by itself.
        message: the reason, or the complete message.
        file: path of the manifest as the user gave it.
        line, column: of the key or the list item, from 1; 0: unknown.
    """

    path: Path
    found: str = ""
    allowed: str = ""
    message: str = ""
    file: str = ""
    line: int = 0
    column: int = 0

    @property
    def field(self) -> str:
        """The path as people write it: `spec.evaluation[1].name`."""
        return field_name(self.path)

    def at(self, file: str, line: int, column: int) -> "Problem":
        """The same problem with its position in a file."""
        return replace(self, file=file, line=line, column=column)

    @property
    def said(self) -> str:
        """The message without the position."""
        if not self.allowed:
            return self.message
        return f"found {self.found}, allowed {self.allowed}" + (
            f" ({self.message})" if self.message else ""
        )

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return ": ".join(part for part in (place, self.field, self.said) if part)


def problem(field: str | Path, found: Any, allowed: str, message: str = "") -> Problem:
    """A problem at a field, given as a dotted name or as a path; `found` is the value itself."""
    path = tuple(field.split(".")) if isinstance(field, str) else field
    return Problem(path, show(found), allowed, message)


def field_name(path: Path) -> str:
    """`("spec", "evaluation", 1, "name")` as `spec.evaluation[1].name`."""
    name = ""
    for part in path:
        if isinstance(part, int):
            name += f"[{part}]"
        elif not PLAIN_KEY.fullmatch(part):
            name += f"[{json.dumps(part)}]"
        else:
            name += f".{part}" if name else part
    return name


def show(value: Any) -> str:
    """A value for use in a message: short, on one line, in YAML notation."""
    match value:
        case None:
            return "null"
        case dict() | BaseModel():
            return "an empty mapping" if value == {} else "a mapping"
        case list():
            return "a list" if value else "an empty list"
        case str():
            text = json.dumps(value, ensure_ascii=False)
            # Escape characters that a terminal would hide or interpret.
            text = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
            return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 4] + '..."'
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)
