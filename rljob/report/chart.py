"""The report's curves, as figures of plotly.js."""

import html
from dataclasses import dataclass
from typing import Any

from rljob.report.run import Record, Run, finite
from rljob.telemetry.metrics import REWARDS

Figure = dict[str, Any]

_COLORS = ("#2563eb", "#ea580c", "#16a34a", "#9333ea", "#dc2626", "#0891b2", "#78716c")
# Readable on white and on black: the page follows the reader's dark or light mode.
_INK = "#7b8494"
_GRID = "rgba(128, 128, 128, 0.25)"
_NOTHING = "rgba(0, 0, 0, 0)"


@dataclass(frozen=True)
class Curve:
    """One line of a chart: a metric and its label."""

    metric: str
    label: str


@dataclass(frozen=True)
class Chart:
    """A chart of curves over the rollout batches."""

    title: str
    unit: str
    curves: tuple[Curve, ...]
    axis: tuple[tuple[str, str], ...] = ()  # of plotly's y axis


_FROM_ZERO = (("rangemode", "tozero"),)
_LOGARITHMIC = (("type", "log"), ("exponentformat", "e"))


CHARTS = (
    Chart(
        "Reward",
        "",
        (Curve("reward/mean", "mean"), Curve("reward/std", "standard deviation")),
    ),
    Chart(
        "Advantages",
        "",
        (
            Curve("advantage/mean", "mean"),
            Curve("advantage/std", "standard deviation"),
            Curve("advantage/min", "smallest"),
            Curve("advantage/max", "largest"),
        ),
    ),
    Chart("Loss", "", (Curve("loss/total", "total"), Curve("loss/policy", "policy"))),
    Chart("Token accuracy", "share", (Curve("train/token_accuracy", "of the answers"),)),
    Chart(
        "KL divergence from the reference",
        "nats per token",
        (Curve("kl/reference_mean", "mean"), Curve("loss/kl", "in the loss")),
    ),
    Chart(
        "KL divergence from the policy before the batch's steps",
        "nats per token",
        (Curve("train/kl_old_mean", "mean"),),
    ),
    Chart(
        "Importance ratio",
        "",
        (Curve("train/ratio_mean", "mean"), Curve("train/ratio_max", "largest")),
        _LOGARITHMIC,
    ),
    Chart("Entropy", "nats per token", (Curve("loss/entropy", "mean"),)),
    Chart(
        "Response length",
        "tokens",
        (
            Curve("response/length_mean", "mean"),
            Curve("response/length_max", "longest"),
            Curve("response/length_p95", "95th percentile"),
            Curve("response/length_p50", "median"),
            Curve("response/length_min", "shortest"),
        ),
        _FROM_ZERO,
    ),
    Chart(
        "Staleness",
        "weight versions",
        (Curve("staleness/mean", "mean"), Curve("staleness/max", "oldest token")),
        _FROM_ZERO,
    ),
    Chart(
        "Samples per second",
        "samples/s",
        (Curve("throughput/samples_per_second", "trained"),),
        _FROM_ZERO,
    ),
    Chart(
        "Tokens per second",
        "tokens/s",
        (Curve("throughput/tokens_per_second", "trained"),),
        _FROM_ZERO,
    ),
    Chart(
        "Truncated responses",
        "share",
        (Curve("response/truncated_share", "cut at the maximum length"),),
        _FROM_ZERO,
    ),
    Chart(
        "Clipped tokens",
        "share",
        (
            Curve("train/clip_share", "of the importance ratio"),
            Curve("train/clip_low_share", "ratio below 1"),
            Curve("train/clip_high_share", "ratio above 1"),
        ),
        _FROM_ZERO,
    ),
    Chart(
        "Skipped prompts",
        "prompts since the start",
        (Curve("data/skipped", "too long or bad"),),
        _FROM_ZERO,
    ),
    Chart(
        "Dropped groups",
        "groups since the start",
        (Curve("groups/dropped", "failed or filtered"),),
        _FROM_ZERO,
    ),
    Chart("Gradient norm", "", (Curve("train/gradient_norm", "before clipping"),), _LOGARITHMIC),
    Chart("Critic's loss", "", (Curve("critic/loss", "loss"),), _FROM_ZERO),
    Chart(
        "Critic's explained variance",
        "share",
        (Curve("critic/explained_variance", "of the returns"),),
    ),
    Chart(
        "Mismatch between trainer and engine",
        "|difference of log-probabilities|",
        (
            Curve("mismatch/logprob_mean", "fresh samples, mean"),
            Curve("mismatch/logprob_max", "largest"),
            Curve("mismatch/stale_logprob_mean", "older samples, mean"),
        ),
        _LOGARITHMIC,
    ),
)
STAGES = ("wait", "logprob", "train", "publish", "save", "evaluate")


def charts(run: Run) -> list[Chart]:
    """The charts of a run; with several rewards, one of each by its name."""
    names = list(dict.fromkeys(n for r in run.metrics for n in r if n.startswith(REWARDS)))
    if len(names) < 2:
        return list(CHARTS)
    # plotly interprets some tags in texts
    curves = [Curve(name, html.escape(name.removeprefix(REWARDS))) for name in names]
    reward, *others = CHARTS
    return [reward, Chart("Rewards by name, before their weights", "", tuple(curves)), *others]


def figure(chart: Chart, run: Run) -> Figure | None:
    """The chart of a run; None if the run has none of its metrics."""
    known = [
        curve for curve in chart.curves if any(v is not None for v in run.series(curve.metric))
    ]
    if not known:
        return None
    traces = [
        _line(run.batches, run.series(curve.metric), curve.label, _COLORS[n % len(_COLORS)])
        for n, curve in enumerate(known)
    ]
    return {"data": traces, "layout": _layout(chart.unit, **dict(chart.axis))}


def time_figure(run: Run) -> Figure | None:
    """The wall time of each rollout batch by stage, stacked."""
    total = [value or 0.0 for value in run.series("time/total")]
    if not any(total):
        return None
    parts = {stage: [v or 0.0 for v in run.series(f"time/{stage}")] for stage in STAGES}
    known = [sum(values) for values in zip(*parts.values(), strict=True)]
    parts["other"] = [max(0.0, t - k) for t, k in zip(total, known, strict=True)]
    traces = [
        {
            **_line(run.batches, [round(v, 4) for v in values], stage, _COLORS[n]),
            "stackgroup": "time",
            "line": {"width": 0.5, "color": _COLORS[n], "shape": "hvh"},
            "fillcolor": _COLORS[n] + "b3",
        }
        for n, (stage, values) in enumerate(parts.items())
        if any(values)
    ]
    return {"data": traces, "layout": _layout("seconds per rollout batch")}


def evaluation_figure(run: Run) -> Figure | None:
    """Every evaluation over the rollout batches, each in the band of its 95% confidence."""
    traces: list[Figure] = []
    for n, name in enumerate(run.evaluation_names):
        records, color = run.evaluations_of(name), _COLORS[n % len(_COLORS)]
        traces += _band(records, color)
        traces.append(
            {
                **_line(
                    [record["rollout"] for record in records],
                    [finite(record.get("reward")) for record in records],
                    html.escape(name),  # plotly interprets some tags in texts
                    color,
                ),
                "mode": "lines+markers",
                "marker": {"size": 7},
            }
        )
    return {"data": traces, "layout": _layout("mean reward")} if traces else None


def _band(records: list[Record], color: str) -> list[Figure]:
    """The area between reward - margin and reward + margin, where both are known."""
    known = [
        (record["rollout"], reward, margin)
        for record in records
        if (reward := finite(record.get("reward"))) is not None
        and (margin := finite(record.get("margin"))) is not None
    ]
    if len(known) < 2:
        return []
    there = [(rollout, reward + margin) for rollout, reward, margin in known]
    back = [(rollout, reward - margin) for rollout, reward, margin in reversed(known)]
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "95% confidence",
            "x": [rollout for rollout, _ in there + back],
            "y": [value for _, value in there + back],
            "fill": "toself",
            "fillcolor": color + "33",
            "line": {"width": 0},
            "hoverinfo": "skip",
            "showlegend": False,
        }
    ]


def _line(x: list[int], y: list[Any], label: str, color: str) -> dict[str, Any]:
    # A single point would not be visible as a line.
    mode = "lines" if len(x) > 1 else "markers"
    return {
        "type": "scatter",
        "mode": mode,
        "name": label,
        "x": x,
        "y": y,
        "line": {"color": color, "width": 2},
        "marker": {"color": color},
        "hovertemplate": "%{y:.4~g}",
    }


def _layout(unit: str, **y_axis: Any) -> dict[str, Any]:
    axis = {"gridcolor": _GRID, "zerolinecolor": _GRID, "automargin": True}
    return {
        "height": 300,
        "margin": {"l": 56, "r": 12, "t": 30, "b": 40},
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": _INK},
        "paper_bgcolor": _NOTHING,
        "plot_bgcolor": _NOTHING,
        "hovermode": "x unified",
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": {**axis, "title": {"text": "rollout batch"}, "tickformat": "d"},
        "yaxis": {**axis, "title": {"text": unit, "standoff": 12}, **y_axis},
    }
