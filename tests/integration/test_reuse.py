"""Groups that are trained on twice, in batches chosen by a filter, with real engines."""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.support.job import Run

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

ROLLOUTS = 8
BATCH = 8


def test_groups_are_used_twice_and_chosen(new_run: Callable[..., Run]) -> None:
    """The checks of the trainer against the engine hold for what is fresh, throughout."""
    run = new_run(
        "reuse",
        schedule__rollouts=ROLLOUTS,
        schedule__maxStaleness=2,
        schedule__maxUses=2,
        rollout__bufferFilter="prioritized",
        algorithm__mismatch={"correction": "tis", "maxDifference": 0.01},
    )
    assert run.run() == 0, run.text()
    uses = Counter((epoch, index) for _, epoch, index in run.consumed())
    assert sum(uses.values()) == ROLLOUTS * BATCH
    assert set(uses.values()) <= {1, 2}
    metrics = run.records("metrics")
    assert metrics[0]["groups/uses_mean"] == 1
    assert max(record["groups/uses_mean"] for record in metrics) > 1
    assert max(record["staleness/max"] for record in metrics) <= 2
    assert run.summary()["groups_consumed"] == len(uses) < ROLLOUTS * BATCH
    assert f"{len(uses)} groups were trained on, each 1 to 2 times" in run.audit()
