"""Writes the dashboards' JSON: `python -m helm.monitoring [DIRECTORY]`."""

import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from helm.monitoring.fleet import fleet
from helm.monitoring.job import job
from helm.monitoring.operator import operator

DIRECTORY = Path(__file__).parents[1] / "rljob" / "dashboards"
DASHBOARDS = {"job": job, "fleet": fleet, "operator": operator}


def text(name: str) -> str:
    """The JSON of a dashboard, as it is checked in."""
    return JSONEncoder(sort_keys=True, indent=1).encode(DASHBOARDS[name]().build()) + "\n"


def main(directory: Path = DIRECTORY) -> None:
    """Writes one file for each dashboard."""
    for name in DASHBOARDS:
        (directory / f"{name}.json").write_text(text(name))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
