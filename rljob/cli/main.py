"""The command line: `rljob --help`.

Commands import what they need when they run: help comes at once.
"""

from pathlib import Path
from typing import Annotated

import typer

from rljob import __version__
from rljob.cli.validate import validate
from rljob.errors import EXIT_USAGE, UsageError

app = typer.Typer(
    name="rljob",
    help="RL post-training of language models from one manifest.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(validate)

RunDir = Annotated[Path, typer.Argument(help="Run directory.", show_default=False)]


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="Manifest (YAML).", show_default=False)],
    run_dir: Annotated[
        Path | None,
        typer.Option(help="Run directory, instead of the manifest's or runs/<name>."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be started, and start nothing.")
    ] = False,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port of the trainer's /metrics and /status."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the manifest's seed.")] = None,
) -> None:
    """Run a job on this machine; the same command goes on with a run that was stopped."""
    from rljob.cli.run import run as run_job

    raise typer.Exit(run_job(file, run_dir, dry_run=dry_run, metrics_port=metrics_port, seed=seed))


@app.command()
def status(run_dir: RunDir) -> None:
    """Tell how far a run is."""
    from rljob.cli.status import status as tell

    for line in tell(run_dir):
        typer.echo(line)


@app.command()
def logs(
    run_dir: RunDir,
    role: Annotated[
        str | None, typer.Argument(help="Only this role, e.g. trainer.", show_default=False)
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run ends.")
    ] = False,
) -> None:
    """Print the logs of the roles, of the last start."""
    from rljob.cli.logs import logs as read

    for line in read(run_dir, role, follow=follow):
        typer.echo(line)


@app.command()
def report(run_dir: RunDir) -> None:
    """Write the HTML report of a run, finished or not."""
    from rljob.cli.run_directory import existing
    from rljob.report.page import write_report

    typer.echo(str(write_report(existing(run_dir).path)))


@app.command()
def audit(run_dir: RunDir) -> None:
    """Prove from its ledger that a run used every prompt once, and no stale samples."""
    from rljob.cli.audit import audit as prove

    lines, proven = prove(run_dir)
    for line in lines:
        typer.echo(line, err=not proven)
    raise typer.Exit(0 if proven else 1)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rljob {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """RL post-training of language models from one manifest."""


def main() -> None:
    """Entry point of the command `rljob`."""
    try:
        app()
    except UsageError as error:
        typer.echo(str(error), err=True)
        raise SystemExit(EXIT_USAGE) from None
    except BrokenPipeError:
        # The reader has gone (`rljob logs DIR | head`), and nothing more can be said to it.
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
