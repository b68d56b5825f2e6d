"""The dashboards are those of helm/monitoring, and show only what exists."""

import re
from html import escape
from pathlib import Path

import pytest

from helm.monitoring.__main__ import DASHBOARDS, text
from tests.monitoring import parts
from tests.monitoring.promtool import promtool
from tests.project.metadata import ROOT


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_files_are_up_to_date(name: str) -> None:
    assert (parts.DASHBOARDS / f"{name}.json").read_text() == text(name), "run `make generate`"


def test_every_file_is_made_here() -> None:
    assert {path.stem for path in parts.DASHBOARDS.iterdir()} == set(DASHBOARDS)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_metric_exists(name: str) -> None:
    known = parts.metrics() | {rule["record"] for rule in parts.rules("record")}
    for expr in parts.queries(name):
        names = parts.named(expr)
        assert names, expr
        assert names <= known, expr


def test_a_metric_that_does_not_exist_is_noticed() -> None:
    expr = 'max by (job) (rate(rljob_x_total{job=~"y-[a-z]{5}"}[5m])) / on (job) a:rljob_z:b > 2'
    assert parts.named(expr) == {"rljob_x_total", "a:rljob_z:b"}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_variable_is_defined_and_used(name: str) -> None:
    found = parts.dashboard(name)
    defined = {variable["name"] for variable in found["templating"]["list"]}
    used = set(re.findall(r"\$\{?(?!__)(\w+)", str(found["panels"]) + str(found["templating"])))
    assert used == defined


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_has_a_source_and_says_what_it_shows(name: str) -> None:
    for panel in parts.panels(name):
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]
            assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
            assert all(q["datasource"]["uid"] == "${datasource}" for q in panel["targets"])


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_picture_has_every_panel(name: str) -> None:
    """After a change, draw it again: docs/monitoring.md."""
    picture = (ROOT / "docs" / "images" / f"dashboard-{name}.svg").read_text()
    assert len(picture) < 300_000
    for panel in parts.panels(name):
        assert f">{escape(panel['title'])}</text>" in picture


@pytest.mark.cluster
@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_query_is_valid(name: str, tmp_path: Path) -> None:
    lines = ["groups: [{name: queries, rules: ["]
    lines += [f"{{record: 'query:{n}', expr: {expr!r}}}," for n, expr in enumerate(found(name))]
    file = tmp_path / "queries.yaml"
    file.write_text("\n".join([*lines, "]}]"]))
    promtool("check", "rules", "--lint=none", str(file))


def found(name: str) -> list[str]:
    """Each query once: promtool refuses duplicates."""
    return list(dict.fromkeys(parts.queries(name)))
