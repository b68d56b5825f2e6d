"""docs/changes.md matches rljob.api.change."""

import re
from pathlib import Path

from rljob.api.change import EFFECTS, MEANING, effect
from rljob.api.change_reference import reference

FILE = Path(__file__).parents[2] / "docs" / "changes.md"
ROWS = re.findall(r"^\| `(.+?)`(?:, other fields)? \| (\w+) \|$", FILE.read_text(), re.MULTILINE)


def test_the_page_has_not_drifted() -> None:
    """`make generate` where it has."""
    assert FILE.read_text() == reference()


def test_each_row_says_the_effect_of_its_field() -> None:
    assert dict(ROWS) == {field: effect(field) for field, _ in ROWS}
    assert {field for field, _ in ROWS} >= EFFECTS.keys()
    assert len(ROWS) == len({field for field, _ in ROWS})


def test_each_effect_is_explained() -> None:
    for said, meaning in MEANING.items():
        assert f"| {said} | {meaning} |" in FILE.read_text()
