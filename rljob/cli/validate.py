"""`rljob validate`: every mistake of every file at once, and warnings."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rljob.cli.output import Output, OutputOption, echo_json
from rljob.errors import EXIT_USAGE

if TYPE_CHECKING:
    from rljob.api.load import Check
    from rljob.api.problem import Problem


class Target(StrEnum):
    """Where the jobs are to run."""

    LOCAL = "local"
    KUBERNETES = "kubernetes"


def validate(
    files: Annotated[list[Path], typer.Argument(help="Manifests (YAML).", show_default=False)],
    target: Annotated[
        Target | None,
        typer.Option(
            help="Where the jobs are to run. Default: either; what only one of them supports is a "
            "warning.",
            show_default=False,
        ),
    ] = None,
    look: Annotated[
        bool | None,
        typer.Option(
            "--files/--no-files",
            help="Whether models, data and modules must be on this machine. Default: yes if the "
            "path of the model is relative, or its parent directory exists.",
            show_default=False,
        ),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check manifests without a cluster and without starting anything."""
    # Importing the models takes a second, which `rljob --help` must not spend.
    from rljob.api.load import load_with_warnings
    from rljob.api.rljob import KIND

    wrong = False
    told: list[dict[str, Any]] = []
    for file in files:
        checks, cautious = _checks(target)
        jobs, problems, warnings = load_with_warnings(
            file, [*checks, _presence(file, target, look)], cautious
        )
        wrong = wrong or bool(problems)
        told.append(
            {
                "file": str(file),
                "jobs": [str(job.key) for job in jobs],
                "problems": [_record(problem) for problem in problems],
                "warnings": [_record(warning) for warning in warnings],
            }
        )
        if output is Output.TEXT:
            for said in (*problems, *warnings):
                typer.echo(str(said))
            for job in jobs:
                typer.echo(f"{file}: ok ({KIND} {job.key})")
    if output is Output.JSON:
        echo_json(told)
    if wrong:
        raise typer.Exit(EXIT_USAGE)


def _checks(target: Target | None) -> tuple[list["Check"], list["Check"]]:
    """The checks for unsupported settings: those that report problems, then warnings."""
    from rljob.api.support import unsupported, unsupported_anywhere, unsupported_somewhere

    if target is None:
        return [unsupported_anywhere], [unsupported_somewhere]
    return [lambda job: unsupported(job, local=target is Target.LOCAL)], []


def _presence(file: Path, target: Target | None, look: bool | None) -> "Check":
    from rljob.api.presence import is_here, missing

    directory = file.parent

    def check(job: Any) -> list["Problem"]:
        chosen = look
        if chosen is None:
            chosen = target is not Target.KUBERNETES and is_here(job, directory)
        return missing(job, directory) if chosen else []

    return check


def _record(problem: "Problem") -> dict[str, Any]:
    return {
        "line": problem.line,
        "column": problem.column,
        "field": problem.field,
        "message": problem.said,
    }
