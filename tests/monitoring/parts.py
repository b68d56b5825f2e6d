"""What is checked in: queries of dashboards, rules, and the metrics that both may name."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

from tests.project.metadata import ROOT
from tests.support.registries import ROLES, metrics_text

DASHBOARDS = ROOT / "helm" / "rljob" / "dashboards"
RULES = ROOT / "helm" / "rljob" / "rules"
# Of Prometheus itself, and of kube-state-metrics.
_FOREIGN = {"up", "ALERTS", "kube_pod_container_status_restarts_total"}
_SUFFIXES = {"histogram": ("_bucket", "_count", "_sum")}
_NAME = re.compile(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()")
_OPERATORS = {"and", "or", "unless"}


@cache
def metrics() -> frozenset[str]:
    """Names of all series that the roles have, and of those that come from elsewhere."""
    with TemporaryDirectory() as directory:
        texts = [metrics_text(role, Path(directory)) for role in ROLES]
    types = re.findall(r"^# TYPE (\S+) (\S+)$", "\n".join(texts), re.MULTILINE)
    names = {name + end for name, type_ in types for end in _SUFFIXES.get(type_, ("",))}
    return frozenset(names | _FOREIGN)


@cache
def rules(kind: str) -> tuple[dict[str, Any], ...]:
    """All rules of a kind: `record` or `alert`."""
    files = [YAML(typ="safe").load(path) for path in sorted(RULES.glob("*.yaml"))]
    groups = [group for file in files for group in file["groups"]]
    return tuple(rule for group in groups for rule in group["rules"] if kind in rule)


def dashboard(name: str) -> dict[str, Any]:
    """A dashboard, as it is checked in."""
    found: dict[str, Any] = json.loads((DASHBOARDS / f"{name}.json").read_text())
    return found


def panels(name: str) -> Iterator[dict[str, Any]]:
    """All panels of a dashboard, also those within rows."""
    for panel in dashboard(name)["panels"]:
        yield panel
        yield from panel.get("panels", [])


def queries(name: str) -> list[str]:
    """The expressions of a dashboard's panels, with values in place of its variables."""
    found = [query["expr"] for panel in panels(name) for query in panel.get("targets", [])]
    values = {"$__rate_interval": "5m", "$namespace": "ml", "$job": "math"}
    for variable, value in values.items():
        found = [expr.replace(variable, value) for expr in found]
    return found


def named(expr: str) -> set[str]:
    """Names of metrics in an expression: words that are neither functions, labels nor strings."""
    bare = re.sub(r"\"[^\"]*\"", " ", expr)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", " ", bare)
    bare = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", " ", bare)
    return set(_NAME.findall(bare)) - _OPERATORS
