"""Output of a command: text for people, or JSON for programs."""

import json
import os
import sys
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any

import typer


class Output(StrEnum):
    """Output format."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="text, or json for a program.")
]


def echo_json(value: Any) -> None:
    """Print a value as indented JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def echo_lines(lines: Iterable[str]) -> None:
    """Print lines to the end, or until the pipe is closed (`rljob logs DIR | head`)."""
    try:
        for line in lines:
            typer.echo(line)
    except BrokenPipeError:
        # At exit Python would flush its buffer to the closed pipe, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
