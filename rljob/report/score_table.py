"""The numbers of one data set's evaluations, as a table."""

from dataclasses import dataclass
from typing import Any

from rljob.report.run import Record

_REPEATED = ("pass@", "majority@")
_OTHERS = ("length", "truncated", "failed")


@dataclass(frozen=True)
class ScoreTable:
    """One row per evaluation.

    Args:
        columns: names of numbers: those that some evaluation has.
        rows: the evaluation's rollout batch, and its number in each column; None: it has none.
    """

    columns: list[str]
    rows: list[tuple[int, list[Any]]]


def score_table(records: list[Record]) -> ScoreTable:
    """The table of a data set's evaluations, in their order.

    Records of versions that knew only the mean reward give a table with fewer columns.
    """
    repeated = dict.fromkeys(
        name for record in records for name in record if name.startswith(_REPEATED)
    )
    others = [name for name in _OTHERS if any(name in record for record in records)]
    columns = ["reward", *(["margin"] if any("margin" in r for r in records) else [])]
    columns += [*repeated, *others]
    return ScoreTable(
        columns,
        [(record["rollout"], [record.get(name) for name in columns]) for record in records],
    )
