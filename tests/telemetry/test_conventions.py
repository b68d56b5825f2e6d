"""Names of metrics follow Prometheus' conventions.

https://prometheus.io/docs/practices/naming/; the rules are those of promlint, the library that
`promtool check metrics` uses.
"""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.registries import ROLES, metrics_text

# Units that are no base units, and abbreviations, as promlint has them.
NOT_BASE = r"(milli|micro|nano)seconds?|minutes?|hours?|days?|bits?|(kilo|mega|giga)bytes?|percent"
ABBREVIATED = ("s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "pct")


@pytest.mark.parametrize("role", ROLES)
def test_names_follow_the_conventions(role: str, tmp_path: Path) -> None:
    families = list(text_string_to_metric_families(metrics_text(role, tmp_path)))
    assert families
    for family in families:
        name, words = family.name, family.name.split("_")
        assert re.fullmatch(r"rljob(_[a-z0-9]+)+", name), name
        assert family.documentation.endswith("."), name
        assert not set(words) & {"gauge", "counter", "histogram", "summary"}, name
        assert not set(words) & set(ABBREVIATED), name
        for word in words:
            assert not re.fullmatch(NOT_BASE, word), name
        if family.type != "counter":  # the parser takes the suffix from a counter's name
            assert words[-1] not in ("total", "created"), name
        if family.type not in ("histogram", "summary"):
            assert words[-1] not in ("count", "sum", "bucket"), name
        assert "share" not in words, name  # promlint's word is ratio


def test_the_build_is_told(tmp_path: Path) -> None:
    text = metrics_text("trainer", tmp_path)
    assert 'rljob_build_info{version="' in text
    assert "_created" not in text
