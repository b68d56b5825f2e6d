"""What a command prints: text for a person, or JSON for a program."""

import json
import os
import sys
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any

import typer


class Output(StrEnum):
    """The form of what is printed."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="text, or json for a program.")
]


def echo_json(value: Any) -> None:
    """Prints a value as JSON, indented."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def echo_lines(lines: Iterable[str]) -> None:
    """Prints lines until there are no more, or their reader has gone (`rljob logs DIR | head`)."""
    try:
        for line in lines:
            typer.echo(line)
    except BrokenPipeError:
        # Python would write what it has buffered when it ends, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
