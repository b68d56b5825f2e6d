"""One mistake in a manifest: where it is, what was found, what is allowed."""

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

Path = tuple[str | int, ...]  # keys and list indices from the document's root
NOTHING = "nothing"  # found, where a field is missing
PLAIN_KEY = re.compile(r"[\w./-]+")
LONGEST_TEXT = 60  # characters of a value that a message repeats


@dataclass(frozen=True)
class Problem:
    """A mistake of the user.

    Args:
        path: keys and list indices from the root of the document; empty for the document itself.
        found: the value found, in words.
        allowed: what may stand there, in words; empty where `message` says it all.
        message: the reason, or the whole story.
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
        """The same problem with its place in a file."""
        return replace(self, file=file, line=line, column=column)

    @property
    def said(self) -> str:
        """What is wrong, without the place."""
        if not self.allowed:
            return self.message
        return f"found {self.found}, allowed {self.allowed}" + (
            f" ({self.message})" if self.message else ""
        )

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return ": ".join(part for part in (place, self.field, self.said) if part)


def problem(field: str | Path, found: Any, allowed: str, message: str = "") -> Problem:
    """A problem at a field, named with dots or by its path; the value found is put in words."""
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
    """A value as a message repeats it: short, on one line, as YAML would have it."""
    match value:
        case None:
            return "null"
        case dict() | BaseModel():
            return "an empty mapping" if value == {} else "a mapping"
        case list():
            return "a list" if value else "an empty list"
        case str():
            text = json.dumps(value, ensure_ascii=False)
            # What a terminal would not show, or would obey, is written out.
            text = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
            return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 4] + '..."'
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)
