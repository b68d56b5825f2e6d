"""What a command prints: text for a person, or JSON for a program."""

import json
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
