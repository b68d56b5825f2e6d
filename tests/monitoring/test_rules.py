"""Rules are valid, documented and about what exists; each alert fires when it must."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.monitoring import parts
from tests.monitoring.promtool import promtool
from tests.project.metadata import ROOT

CASES = Path(__file__).with_name("alerts.yaml")
ALERTS = [rule["alert"] for rule in parts.rules("alert")]


@pytest.mark.cluster
def test_the_rules_are_valid() -> None:
    promtool("check", "rules", *map(str, sorted(parts.RULES.glob("*.yaml"))))


@pytest.mark.cluster
def test_each_alert_fires_for_the_one_and_not_for_the_others() -> None:
    promtool("test", "rules", str(CASES))


def test_each_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    cases = {case["name"]: case for case in YAML(typ="safe").load(CASES)["tests"]}
    assert list(cases) == ALERTS
    for name, case in cases.items():
        (test,) = case["alert_rule_test"]
        assert test["alertname"] == name
        (firing,) = test["exp_alerts"]
        assert firing["exp_labels"]["severity"] in ("warning", "critical")
        subjects = {
            tuple(sorted(re.findall(r'\b(namespace|job|kind)="(\w+)"', series["series"])))
            for series in case["input_series"]
        }
        assert len(subjects) > 1, "one that stays silent"


@pytest.mark.parametrize("rule", parts.rules("alert"), ids=ALERTS)
def test_an_alert_says_what_to_do(rule: dict) -> None:
    assert rule["labels"]["severity"] in ("warning", "critical")
    notes = rule["annotations"]
    assert notes.keys() == {"summary", "description", "runbook_url"}
    assert notes["runbook_url"] == f"RUNBOOK_BASE/{rule['alert']}"


def test_each_alert_has_a_section_and_no_other_has() -> None:
    document = (ROOT / "docs" / "alerts.md").read_text()
    assert re.findall(r"^## (\S+)$", document, re.MULTILINE) == ALERTS
    for section in re.split(r"^## ", document, flags=re.MULTILINE)[1:]:
        for part in ("**What it means.**", "**What to check.**", "**What to do.**"):
            assert part in section, section.splitlines()[0]


def test_every_metric_exists() -> None:
    records = {rule["record"] for rule in parts.rules("record")}
    for rule in parts.rules("record"):
        assert parts.named(rule["expr"]) <= parts.metrics(), rule["record"]
    for rule in parts.rules("alert"):
        assert parts.named(rule["expr"]) <= parts.metrics() | records, rule["alert"]


def test_every_record_is_used() -> None:
    used = {name for rule in parts.rules("alert") for name in parts.named(rule["expr"])}
    for file in parts.DASHBOARDS.glob("*.json"):
        used |= {name for expr in parts.queries(file.stem) for name in parts.named(expr)}
    assert {rule["record"] for rule in parts.rules("record")} <= used
