"""The command line: `rljob --help`.

Commands import what they need when they run, so that `--help` is fast.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rljob import __version__
from rljob.cli import full_disk
from rljob.cli.level import Level
from rljob.cli.output import Output, OutputOption, echo_json, echo_lines
from rljob.cli.validate import validate
from rljob.errors import EXIT_USAGE, UsageError

app = typer.Typer(
    name="rljob",
    help="RL post-training of language models from one manifest.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(validate)

RunDir = Annotated[Path, typer.Argument(help="Run directory.", show_default=False)]


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="Manifest (YAML).", show_default=False)],
    *,
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
    seed: Annotated[int | None, typer.Option(min=0, help="Overrides the manifest's seed.")] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="Format of the dry run.")] = (
        Output.TEXT
    ),
) -> None:
    """Run a job on this machine; the same command resumes a stopped run."""
    from rljob.cli.run import run as run_job

    dry = output if dry_run else None
    raise typer.Exit(run_job(file, run_dir, dry_run=dry, metrics_port=metrics_port, seed=seed))


@app.command()
def status(run_dir: RunDir, output: OutputOption = Output.TEXT) -> None:
    """Show the progress of a run; exits with 1 if its last start has failed."""
    from rljob.cli.status import status as look

    found = look(run_dir)
    if output is Output.JSON:
        echo_json(found.record)
    else:
        echo_lines(found.lines)
    raise typer.Exit(1 if found.failed else 0)


@app.command()
def logs(
    run_dir: RunDir,
    role: Annotated[
        str | None,
        typer.Argument(
            help="Only this role, e.g. trainer; engine: what SGLang prints.", show_default=False
        ),
    ] = None,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow the logs until the run ends.")
    ] = False,
    tail: Annotated[
        int | None, typer.Option(min=1, help="Only this many last lines.", show_default=False)
    ] = None,
    level: Annotated[
        Level | None,
        typer.Option(help="Only lines of this level or above.", show_default=False),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Print the logs of the roles from the last start."""
    from rljob.cli.logs import logs as read

    lines = read(run_dir, role, follow=follow, tail=tail, level=level)
    if output is Output.JSON:
        echo_lines(json.dumps(asdict(line), ensure_ascii=False) for line in lines)
    else:
        echo_lines(line.shown for line in lines)


@app.command()
def report(run_dir: RunDir) -> None:
    """Write the HTML report of a run, finished or not."""
    from rljob.cli.run_directory import existing
    from rljob.report.page import write_report

    with full_disk.told(run_dir):
        typer.echo(str(write_report(existing(run_dir).path)))


@app.command()
def export(
    run_dir: RunDir,
    *,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="E.g. step-000020; default: the newest.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Directory to write; default: exports/<checkpoint> of the run.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a checkpoint of a run, finished or not, as a Hugging Face model."""
    from rljob.cli.export import export as export_model

    typer.echo(export_model(run_dir, checkpoint, out))


@app.command("eval")
def evaluate(
    job: Annotated[Path, typer.Argument(help="Manifest, or run directory.", show_default=False)],
    *,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="E.g. step-000020 of the run, or the directory of a Hugging Face model; default: "
            "the newest of the run, or the manifest's model.",
            show_default=False,
        ),
    ] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            help="Directory of the evaluation; default: evaluations/<checkpoint> of the run, or "
            "runs/<name>-eval.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Overrides the job's seed.")] = None,
) -> None:
    """Evaluate a model on the data sets of a job, without training."""
    from rljob.cli.evaluation import evaluate as run_evaluation

    raise typer.Exit(run_evaluation(job, checkpoint, run_dir, seed))


@app.command()
def audit(run_dir: RunDir, output: OutputOption = Output.TEXT) -> None:
    """Prove from its ledger that a run used every prompt once, and no stale samples."""
    from rljob.cli.audit import audit as prove

    lines, proven = prove(run_dir)
    if output is Output.JSON:
        echo_json({"proven": proven, "lines": lines})
    else:
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


if __name__ == "__main__":
    main()
