"""Runs as a picture and as a table."""

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.curves.record import TARGET, Record
from helm.monitoring.drawing import Frame, Series, lines, page

_WIDTH, _HEIGHT = 14, 10  # units of the drawing's grid


def picture(records: Sequence[Record]) -> str:
    """An SVG with a panel for each `maxStaleness`: reward over time, a line for each run."""
    panels = []
    ages = sorted({each.staleness for each in records})
    for row, age in enumerate(ages):
        shown = [each for each in records if each.staleness == age]
        title = "Mean reward, " + ("synchronous" if age == 0 else f"maxStaleness {age}")
        frame = Frame(0, row * _HEIGHT, _WIDTH, _HEIGHT, title, low=0.0, high=1.0)
        series = [
            Series(_label(each), list(zip(each.seconds, each.rewards, strict=True)))
            for each in shown
        ]
        panels.append(lines(frame, series, 0.0, max(each.seconds[-1] for each in shown)))
    return page(panels, width=_WIDTH, height=len(ages) * _HEIGHT)


def table(records: Sequence[Record]) -> str:
    """The same in Markdown, with the settings of each run."""
    head = f"| run | batches to {TARGET} | seconds | last reward | settings |"
    rows = [head, "| --- | --- | --- | --- | --- |"]
    for each in records:
        batches = str(len(each.rewards)) if each.learned else f"not in {len(each.rewards)}"
        changes = ", ".join(f"`{change}`" for change in _changes(each.settings)) or "the example's"
        rows.append(
            f"| {each.name} | {batches} | {each.seconds[-1]:.0f} | {each.rewards[-1]:.3f} "
            f"| {changes} |"
        )
    return "\n".join(rows)


def _label(record: Record) -> str:
    corrected = "" if record.correction == "none" else f" with {record.correction}"
    return record.estimator + corrected


def _changes(settings: dict[str, Any], at: str = "") -> list[str]:
    """`field: value` for each setting; lists are not looked into."""
    found = []
    for name, value in settings.items():
        path = f"{at}.{name}" if at else name
        if isinstance(value, dict):
            found += _changes(value, path)
        else:
            found.append(f"{path}: {value if isinstance(value, str) else json.dumps(value)}")
    return found
