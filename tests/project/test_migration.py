"""The fields that docs/migration.md names exist."""

import re
from pathlib import Path

import pytest

from rljob.api.vocabulary import schema_at

TEXT = (Path(__file__).parents[2] / "docs" / "migration.md").read_text()
CELLS = [
    line.strip("|").split("|")[2] for line in TEXT.splitlines() if line.startswith(("| `", "| - "))
]
FIELDS = sorted({field for cell in CELLS for field in re.findall(r"`([\w.\[\]]+)`", cell)})


def test_the_tables_have_fields() -> None:
    assert len(FIELDS) > 50


@pytest.mark.parametrize("field", FIELDS)
def test_it_is_a_field(field: str) -> None:
    path: list[str | int] = ["spec"]
    for part in field.split("."):
        path += [part.removesuffix("[]"), 0] if part.endswith("[]") else [part]
    assert schema_at(tuple(path)) is not None
