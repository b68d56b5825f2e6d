"""Draws the dashboards with the data of a Prometheus, as SVG: `python -m helm.monitoring.pictures`.

Grafana draws them nicer. These are for the documentation, and need no Grafana.
"""

import argparse
import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from helm.monitoring.__main__ import DASHBOARDS, DIRECTORY
from helm.monitoring.drawing import Frame, Series, cells, heading, lines, number, page, shown, table

_POINTS = 120  # of a line
_CELLS = 40  # of a histogram, over time
_COLUMNS = 24


class Source:
    """A Prometheus, a span of time, and the values of the dashboards' variables."""

    def __init__(self, url: str, begin: float, end: float, namespace: str, job: str) -> None:
        self.begin = begin
        self.end = end
        self._api = httpx.Client(base_url=f"{url}/api/v1", timeout=30, trust_env=False)
        self._values = {"$__rate_interval": "1m", "$namespace": namespace, "$job": job}

    def now(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Labels and values at the end of the span."""
        found = self._get("query", query=self._filled(expr), time=self.end)
        return [(one["metric"], float(one["value"][1])) for one in found]

    def over_time(self, expr: str, legend: str, count: int = _POINTS) -> list[Series]:
        """The series of an expression, in the order of their names."""
        found = self._get(
            "query_range",
            query=self._filled(expr),
            start=self.begin,
            end=self.end,
            step=self.step(count),
        )
        series = [
            Series(
                _named(legend, one["metric"]),
                [(float(at), float(value)) for at, value in one["values"]],
            )
            for one in found
        ]
        return sorted(series, key=lambda one: one.name)

    def step(self, count: int) -> float:
        """Seconds between two of `count` points."""
        return (self.end - self.begin) / count

    def _filled(self, expr: str) -> str:
        for name, value in self._values.items():
            expr = expr.replace(name, value)
        return expr

    def _get(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        reply = self._api.get(f"/{path}", params=parameters).raise_for_status()
        found: list[dict[str, Any]] = reply.json()["data"]["result"]
        return found


def _named(legend: str, labels: dict[str, str]) -> str:
    """The name of a series: {{pod}} in a legend stands for its label."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), legend)


def picture(name: str, source: Source) -> str:
    """The SVG of a dashboard, as it is checked in."""
    dashboard = json.loads((DIRECTORY / f"{name}.json").read_text())
    parts, bottom = [], 0
    for panel in dashboard["panels"]:
        frame = _frame(panel)
        parts.append(_drawn(panel, frame, source))
        bottom = max(bottom, frame.y + frame.height)
    return page(parts, width=_COLUMNS, height=bottom)


def _frame(panel: dict[str, Any]) -> Frame:
    grid = panel["gridPos"]
    frame = Frame(grid["x"], grid["y"], grid["w"], grid["h"], panel["title"])
    field = panel.get("fieldConfig", {}).get("defaults", {})
    return replace(
        frame, unit=field.get("unit", frame.unit), low=field.get("min"), high=field.get("max")
    )


def _drawn(panel: dict[str, Any], frame: Frame, source: Source) -> str:
    targets = panel.get("targets", [])
    match panel["type"]:
        case "row":
            return heading(frame)
        case "stat":
            values = source.now(targets[0]["expr"])
            return number(frame, values[0][1] if values else None)
        case "heatmap":
            buckets = source.over_time(targets[0]["expr"], "{{le}}", _CELLS)
            buckets.sort(key=lambda one: float(one.name))
            return cells(frame, buckets, source.begin, source.end, source.step(_CELLS))
        case "table":
            return _table(panel, frame, source)
        case _:
            series = [
                one
                for target in targets
                for one in source.over_time(target["expr"], target["legendFormat"])
            ]
            return lines(frame, series, source.begin, source.end)


def _table(panel: dict[str, Any], frame: Frame, source: Source) -> str:
    """One row for each job that any of the queries knows."""
    names = panel["transformations"][1]["options"]["renameByName"]
    rows: dict[tuple[str, str], list[str]] = {}
    for place, target in enumerate(panel["targets"]):
        for labels, value in source.now(target["expr"]):
            key = (labels["namespace"], labels["job"])
            row = rows.setdefault(key, [*key, *[""] * len(panel["targets"])])
            row[2 + place] = shown(value, "short")
    return table(frame, ["namespace", "job", *names.values()], [rows[key] for key in sorted(rows)])


def main() -> None:
    """Writes one picture for each dashboard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="of Prometheus, such as http://127.0.0.1:9090")
    parser.add_argument(
        "--minutes", type=float, default=360, help="until now; default: %(default)s"
    )
    parser.add_argument("--namespace", default="local", help="default: %(default)s")
    parser.add_argument("--job", required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--dashboard", choices=DASHBOARDS, action="append")
    given = parser.parse_args()
    end = time.time()
    source = Source(given.url, end - 60 * given.minutes, end, given.namespace, given.job)
    for name in given.dashboard or DASHBOARDS:
        (given.out / f"dashboard-{name}.svg").write_text(picture(name, source))


if __name__ == "__main__":
    main()
