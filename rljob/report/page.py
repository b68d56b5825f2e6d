"""The HTML report: one self-contained file, for a run in any state."""

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rljob.report.chart import Figure, charts, evaluation_figure, figure, time_figure
from rljob.report.run import Record, Run, finite, read_run
from rljob.report.score_table import score_table

FILE_NAME = "report.html"
_PLOTLY = Path(__file__).parent / "plotly" / "plotly-basic.min.js"
_WINDOW = 5  # batches over which the summary averages the reward
_MOMENTS = 8  # rollout batches from which sample texts are shown
_ROWS = 20  # evaluations of a data set in its table
_RECENT = 10  # batches over which the throughput is averaged

T = TypeVar("T")


@dataclass(frozen=True)
class Tile:
    """One fact of the summary."""

    label: str
    value: str
    note: str = ""


def write_report(directory: Path) -> Path:
    """Write report.html into a run directory and return its path."""
    path = directory / FILE_NAME
    partial = path.with_suffix(".partial")
    # A model's text may contain lone surrogates, which UTF-8 can't encode.
    partial.write_text(render(read_run(directory)), encoding="utf-8", errors="replace")
    partial.replace(path)
    return path


def render(run: Run) -> str:
    """Render the page. Every text of the run is escaped: models and data are not trusted."""
    environment = Environment(
        loader=PackageLoader("rljob.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    curves = [(chart.title, drawn) for chart in charts(run) if (drawn := figure(chart, run))]
    # A single evaluation is no curve.
    evaluated = evaluation_figure(run) if run.trains else None
    figures = [*(drawn for _, drawn in curves), time_figure(run), evaluated]
    return environment.get_template("page.html.j2").render(
        run=run,
        state=_state(run),
        tiles=_tiles(run),
        titles=[title for title, _ in curves],
        has_times=figures[-2] is not None,
        has_evaluation_curve=figures[-1] is not None,
        moments=_moments(run),
        incidents=[(_moment(each.time), each.message) for each in run.incidents],
        answers={name: _spread(run.evaluations_of(name), 3) for name in run.evaluation_names},
        scores={
            name: score_table(_spread(run.evaluations_of(name), _ROWS))
            for name in run.evaluation_names
        },
        figures=_script_data(figures),
        plotly=Markup(_PLOTLY.read_text("utf-8")),  # noqa: S704 - the library, no text of the run
        nonce=secrets.token_urlsafe(16),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=version("rljob"),
    )


def _script_data(figures: list[Figure | None]) -> Markup:
    """JSON for a script element, with `<` escaped because it could end the element."""
    text = json.dumps(figures, allow_nan=False).replace("<", "\\u003c")
    return Markup(text)  # noqa: S704 - escaped in the line before


def _state(run: Run) -> str:
    # A finished run that is continued keeps its old summary until it finishes again.
    if run.summary and run.summary.get("rollouts") == len(run.metrics):
        return str(run.summary.get("state", ""))
    if run.metrics or not run.trains:
        return "not finished"
    return "no rollout batch yet"


def _tiles(run: Run) -> list[Tile]:
    rewards = [value for value in run.series("reward/mean") if value is not None]
    tiles = []
    if run.trains:
        of = f"of {run.rollouts}" if run.rollouts else ""
        tiles.append(Tile("Rollout batches", str(len(run.metrics)), of))
    if rewards:
        first, last = _mean(rewards[:_WINDOW]), _mean(rewards[-_WINDOW:])
        tiles.append(
            Tile("Reward", f"{_number(first)} → {_number(last)}", f"first and last {_WINDOW}")
        )
    accuracies = [value for value in run.series("train/token_accuracy") if value is not None]
    if accuracies:  # answers from the data: they have a loss instead of a reward
        losses = [value for value in run.series("loss/total") if value is not None]
        for label, values in (("Loss", losses), ("Token accuracy", accuracies)):
            first, last = _mean(values[:_WINDOW]), _mean(values[-_WINDOW:])
            note = f"first and last {_WINDOW}"
            tiles.append(Tile(label, f"{_number(first)} → {_number(last)}", note))
    for name in run.evaluation_names:
        records = run.evaluations_of(name)
        before, after = records[0].get("reward"), records[-1].get("reward")
        margin = records[-1].get("margin")
        bounds = "" if finite(margin) is None else f" ±{_number(margin)}"
        began = f"{_number(before)} → " if run.trains else ""
        tiles.append(Tile(name, f"{began}{_number(after)}{bounds}", "evaluation"))
    seconds = finite(run.summary.get("seconds")) or _sum(run, "time/total")
    if seconds:
        tiles.append(Tile("Wall time", _duration(seconds)))
    speeds = [v for v in run.series("throughput/samples_per_second") if v is not None]
    if speeds:
        note = f"last {_RECENT} batches"
        tiles.append(Tile("Samples per second", _number(_mean(speeds[-_RECENT:])), note))
    ages = [value for value in run.series("staleness/max") if value is not None]
    if ages:
        tiles.append(Tile("Maximum staleness", _number(max(ages)), "weight versions"))
    versions = [value for value in run.series("weights/version") if value is not None]
    if versions:
        tiles.append(Tile("Weight version", _number(versions[-1])))
    return tiles


def _moments(run: Run) -> list[tuple[int, list[Record]]]:
    """Sample texts at a few rollout batches, from the first to the last."""
    by_rollout: dict[int, list[Record]] = {}
    for sample in run.samples:
        by_rollout.setdefault(sample["rollout"], []).append(sample)
    return [(rollout, by_rollout[rollout]) for rollout in _spread(sorted(by_rollout), _MOMENTS)]


def _spread(items: list[T], count: int) -> list[T]:
    """At most `count` items, evenly spaced, with the first and the last."""
    if len(items) <= count:
        return items
    return [items[round(n * (len(items) - 1) / (count - 1))] for n in range(count)]


def _number(value: Any) -> str:
    number = finite(value)
    if number is None:
        return "-"
    if number == int(number) and abs(number) < 1e6:
        return f"{int(number)}"
    if not 1e-3 <= abs(number) < 1e6:
        return f"{number:.3g}"
    return f"{number:,.{3 if abs(number) < 10 else 1}f}"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _sum(run: Run, name: str) -> float:
    return sum(value for value in run.series(name) if value is not None)
