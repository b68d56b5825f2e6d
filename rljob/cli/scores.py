"""The scores of a model as a table for the terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from rljob.cli import words
from rljob.report.run import finite
from rljob.report.score_table import score_table

_DIGITS = {"length": 1, "failed": 0}  # after the point; of the other numbers three

_WIDE = 1000  # columns: of no table


def print_scores(console: Console, records: Sequence[dict[str, Any]]) -> None:
    """Print one row per data set.

    Args:
        console: where to; a table for a file is as wide as it needs to be.
        records: of evaluations.jsonl.
    """
    numbers = score_table(list(records))
    shown = [name for name in numbers.columns if name != "margin"]  # it stands beside the reward
    table = Table("data set", highlight=False)
    for name in shown:
        table.add_column(name, justify="right")
    for record, (_, values) in zip(records, numbers.rows, strict=True):
        by_name = dict(zip(numbers.columns, values, strict=True))
        cells = [_cell(name, by_name[name]) for name in shown]
        margin = finite(by_name.get("margin"))
        if margin is not None:
            cells[0] += f" ±{words.number(margin, 3)}"
        table.add_row(words.text(record.get("name")), *cells)
    if not console.is_terminal:
        console.width = _WIDE
    console.print(table)


def _cell(name: str, value: Any) -> str:
    return words.number(finite(value), _DIGITS.get(name, 3))
