"""docs/operator.md lists every reason and event, and no condition that does not exist."""

import pytest

from rljob_operator.reason import REASONS, Reason, Told
from tests.project.metadata import ROOT

TEXT = (ROOT / "docs" / "operator.md").read_text()


@pytest.mark.parametrize("word", [*REASONS, *Reason, *Told], ids=str)
def test_it_is_told(word: str) -> None:
    assert f"`{word}`" in TEXT


@pytest.mark.parametrize("condition", REASONS)
def test_its_reasons_stand_in_its_rows(condition: str) -> None:
    rows: list[str] = []
    current = ""
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4:
            current = cells[0] or current
            if f"`{condition}`" in current:
                rows.append(f"{cells[1]} {cells[2]}")
    for status, reasons in REASONS[condition].items():
        for reason in reasons:
            assert any(row.startswith(status) and f"`{reason}`" in row for row in rows), reason
