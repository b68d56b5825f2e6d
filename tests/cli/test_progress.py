"""The bar of a terminal."""

from io import StringIO

import pytest
from rich.console import Console

from rljob.cli.progress import display


@pytest.mark.parametrize(
    ("rollouts", "status", "shown"),
    [
        (300, {"phase": "running", "rollout": 12, "evaluations": [{}]}, "12/300"),
        (0, {"phase": "evaluating", "rollout": 0, "evaluations": [{}]}, "1/2"),
        (0, {"phase": "starting"}, "0/2"),
    ],
)
def test_the_bar_counts_batches_or_the_data_sets_of_an_evaluation(
    rollouts: int, status: dict[str, object], shown: str
) -> None:
    text = StringIO()
    bar = display(Console(file=text, force_terminal=True, width=100), rollouts, 2)
    bar.status(status)
    bar.close()
    assert f" {shown} " in text.getvalue()
