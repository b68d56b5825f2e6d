"""Numbers, durations and texts of a run, formatted for a terminal."""

from typing import Any

_LONGEST_TEXT = 60
_NONE = "-"
# What a batch's line shows, with the digits after the point: of samples that were generated, and of
# answers from the data.
_OF_SAMPLES = (
    ("reward", "reward/mean", 3),
    ("length", "response/length_mean", 1),
    ("samples/s", "throughput/samples_per_second", 1),
    ("version", "weights/version", 0),
    ("staleness", "staleness/max", 0),
)
_OF_ANSWERS = (
    ("loss", "loss/total", 4),
    ("accuracy", "train/token_accuracy", 3),
    ("length", "response/length_mean", 1),
    ("samples/s", "throughput/samples_per_second", 1),
    ("tokens/s", "throughput/tokens_per_second", 0),
)


def number(value: Any, digits: int) -> str:
    """A number with `digits` digits after the decimal point; a dash if there is none yet."""
    return f"{value:,.{digits}f}" if isinstance(value, int | float) else _NONE


def duration(seconds: Any) -> str:
    """`1:02:03` or `2:03`; a dash if it is not known."""
    if not isinstance(seconds, int | float):
        return _NONE
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def text(value: Any) -> str:
    """A model's text on one line: truncated, with control characters escaped."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value)[:_LONGEST_TEXT])
    return shown + ("…" if len(str(value)) > _LONGEST_TEXT else "")


def phase(status: dict[str, Any] | None) -> str:
    """What the run is doing: the trainer's phase and message."""
    if status is None:
        return "starting"
    return ": ".join(str(part) for part in (status.get("phase"), status.get("message")) if part)


def batch(record: dict[str, Any], rollouts: int, status: dict[str, Any] | None) -> str:
    """A trained rollout batch in one line."""
    shown = _OF_ANSWERS if "train/token_accuracy" in record else _OF_SAMPLES
    parts = [
        f"rollout {record.get('rollout')}/{rollouts}",
        *(f"{name}={number(record.get(metric), digits)}" for name, metric, digits in shown),
        f"eta={duration((status or {}).get('eta_seconds'))}",
    ]
    return "  ".join(parts)


def evaluation(record: dict[str, Any], samples: int) -> list[str]:
    """An evaluation's result, and a few of its answers."""
    reward = number(record.get("reward"), 3)
    if "margin" in record:
        reward += f" ±{number(record['margin'], 3)}"
    parts = [f"reward {reward} over {record.get('count')} answers"]
    parts += [
        f"{name} {number(value, 3)}"
        for name, value in record.items()
        if name.startswith(("pass@", "majority@"))
    ]
    if "length" in record:
        parts.append(f"length {number(record['length'], 1)}")
        parts.append(f"truncated {number(record.get('truncated'), 3)}")
    if record.get("failed"):
        parts.append(f"failed prompts {record['failed']}")
    lines = [
        f"evaluation {text(record.get('name'))} after rollout {record.get('rollout')}: "
        f"{', '.join(parts)}"
    ]
    for sample in (record.get("samples") or [])[:samples]:
        said, right = text(sample.get("response")), text(sample.get("label"))
        lines.append(
            f"    {text(sample.get('prompt'))} -> {said}   "
            f"(label {right}, reward {number(sample.get('reward'), 2)})"
        )
    return lines
