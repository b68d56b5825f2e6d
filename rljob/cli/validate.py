"""`rljob validate`: every mistake of every file at once, and warnings."""

from pathlib import Path
from typing import Annotated

import typer

from rljob.errors import EXIT_USAGE


def validate(
    files: Annotated[list[Path], typer.Argument(help="Manifests (YAML).", show_default=False)],
) -> None:
    """Check manifests without a cluster and without starting anything."""
    # The models take a second to import, which `rljob --help` must not.
    from rljob.api.load import load_with_warnings
    from rljob.api.rljob import KIND

    wrong = False
    for file in files:
        jobs, problems, warnings = load_with_warnings(file)
        wrong = wrong or bool(problems)
        for said in (*problems, *warnings):
            typer.echo(str(said))
        for job in jobs:
            typer.echo(f"{file}: ok ({KIND} {job.key})")
    if wrong:
        raise typer.Exit(EXIT_USAGE)
