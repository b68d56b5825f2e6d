"""The checked-in tables match the installed packages, and contain what rljob sets."""

import json
from pathlib import Path

import pytest

from rljob.api.passthrough import refused
from rljob.api.passthrough.owned import FIELDS
from rljob.api.passthrough.table import PACKAGES, Section, options
from tests.api import passthrough_tables


def drifted(fresh: dict[str, passthrough_tables.Table]) -> list[str]:
    return [
        stem
        for stem, table in fresh.items()
        if (passthrough_tables.FOLDER / f"{stem}.json").read_text()
        != passthrough_tables.text(table)
    ]


def test_megatron_tables_have_not_drifted() -> None:
    assert drifted(passthrough_tables.megatron_tables()) == []


def test_sglang_table_has_not_drifted() -> None:
    assert drifted({"sglang": passthrough_tables.sglang_table()}) == []


@pytest.mark.parametrize("section", PACKAGES)
def test_what_rljob_sets_is_an_option(section: Section) -> None:
    assert FIELDS[section].keys() - options(section).keys() == set()


def test_what_is_refused_is_an_option_with_that_default() -> None:
    import msgspec
    from sglang.srt.server_args import ServerArgs

    defaults = {field.name: field.default for field in msgspec.structs.fields(ServerArgs)}
    for name, refusal in refused.SGLANG.items():
        assert defaults[name] in (refusal.default, None), name


def test_versions_are_the_pinned_ones() -> None:
    pins = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert "megatron-core==0.16.1" in pins and "0.16.1" in PACKAGES["megatron"]
    assert "sglang==0.5.23" in pins and "0.5.23" in PACKAGES["sglang"]


def test_tables_are_sorted_json() -> None:
    for file in passthrough_tables.FOLDER.glob("*.json"):
        names = list(json.loads(file.read_text()))
        assert names == sorted(names)
