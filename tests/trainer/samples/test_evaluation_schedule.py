"""When which data set is evaluated."""

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rljob.api import RLJob
from rljob_trainer.samples.evaluation_schedule import EvaluationSchedule
from tests.support.job import manifest

INTERVALS = st.none() | st.integers(1, 5)


def schedule(common: int | None, own: dict[str, int | None]) -> EvaluationSchedule:
    sets: list[dict[str, Any]] = [
        {"name": name, "prompts": "x", "interval": interval} for name, interval in own.items()
    ]
    job = manifest(Path("/x"), evaluation=sets, schedule__evalInterval=common)
    return EvaluationSchedule(RLJob.model_validate(job).spec)


def evaluated(schedule: EvaluationSchedule, rollouts: int, first: int = 0) -> list[tuple[str, int]]:
    """What a run evaluates from its batch `first` on, and after how many batches."""
    found = []
    for rollout in range(first, rollouts + 1):
        for name in schedule.due(rollout, is_done=rollout == rollouts):
            schedule.evaluated(name, rollout)
            found.append((name, rollout))
    return found


def test_each_set_has_its_interval() -> None:
    due = evaluated(schedule(4, {"own": 2, "common": None}), rollouts=9)
    assert [rollout for name, rollout in due if name == "own"] == [0, 2, 4, 6, 8, 9]
    assert [rollout for name, rollout in due if name == "common"] == [0, 4, 8, 9]


def test_without_an_interval_before_and_after() -> None:
    assert evaluated(schedule(None, {"aime": None}), rollouts=5) == [("aime", 0), ("aime", 5)]


@given(common=INTERVALS, own=INTERVALS, rollouts=st.integers(1, 12), data=st.data())
def test_a_resume_evaluates_nothing_twice_and_misses_nothing(
    common: int | None, own: int | None, rollouts: int, data: st.DataObject
) -> None:
    sets = {"a": own, "b": None}
    whole = evaluated(schedule(common, sets), rollouts)
    # The run stops after some evaluation, of which there may be more at the same batch.
    count = data.draw(st.integers(1, len(whole)))
    first, resumed = schedule(common, sets), schedule(common, sets)
    for name, rollout in whole[:count]:
        first.evaluated(name, rollout)
    resumed.load(first.save())
    assert whole[:count] + evaluated(resumed, rollouts, whole[count - 1][1]) == whole


def test_a_run_that_is_shortened_to_its_last_batch_evaluates_the_other_sets() -> None:
    stopped, resumed = schedule(None, {"a": 2, "b": None}), schedule(None, {"a": 2, "b": None})
    assert stopped.due(2, is_done=False) == ["a"]
    stopped.evaluated("a", 2)
    resumed.load(stopped.save())
    assert resumed.due(2, is_done=True) == ["b"]


def test_a_checkpoint_of_an_earlier_version() -> None:
    """It holds the number of batches before the last evaluation of all sets."""
    resumed = schedule(2, {"a": None, "b": None})
    resumed.load(4)
    assert resumed.due(4, is_done=False) == []
    assert resumed.due(6, is_done=False) == ["a", "b"]
