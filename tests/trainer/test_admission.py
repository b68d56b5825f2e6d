"""The staleness bound, for any order in which workers lease and complete."""

import random
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rljob.buffer.records import Completion, Group, Sample, VersionSpan
from rljob_trainer.admission import Admission
from rljob_trainer.data.source import PromptRef
from rljob_trainer.journal import Journal
from rljob_trainer.ledger import Ledger


def a_group(group_id: int) -> Group:
    return Group(
        id=group_id,
        incarnation=1,
        kind="train",
        prompt="p",
        prompt_tokens=np.array([1], np.int32),
        label="l",
        metadata={},
        samples=1,
        sampling={},
        reward={},
        seed=0,
    )


def a_completion(group_id: int, version: int) -> Completion:
    sample = Sample(
        index=0,
        response="r",
        response_tokens=np.array([1, 2], np.int32),
        logprobs=np.zeros(2, np.float32),
        loss_mask=np.ones(2, np.uint8),
        versions=(VersionSpan(version, 0, 2),),
        reward=1.0,
        status="completed",
        metadata={},
    )
    return Completion(
        group=group_id,
        incarnation=1,
        worker="w",
        samples=(sample,),
        failure=None,
        failure_is_usage=False,
        leased=0.0,
        finished=1.0,
    )


def test_synchronous_window_is_one_batch() -> None:
    admission = Admission(rollout_batch_size=4, max_staleness=0, update_weights_interval=1)
    assert admission.capacity(open_groups=0, consumed_since_publish=0, still_needed=99) == 4
    assert admission.capacity(open_groups=0, consumed_since_publish=4, still_needed=99) == 0
    assert admission.capacity(open_groups=3, consumed_since_publish=0, still_needed=99) == 1


def test_nothing_is_generated_beyond_the_end_of_the_run() -> None:
    admission = Admission(rollout_batch_size=4, max_staleness=2, update_weights_interval=1)
    assert admission.capacity(open_groups=4, consumed_since_publish=0, still_needed=3) == 3
    assert admission.capacity(open_groups=4, consumed_since_publish=0, still_needed=-1) == 0


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 4),
    staleness=st.integers(0, 3),
    interval=st.integers(1, 3),
    seed=st.integers(0, 2**32),
)
def test_no_token_is_staler_than_the_bound(
    batch: int, staleness: int, interval: int, seed: int
) -> None:
    """Groups are leased and completed in any order, some are dropped; every batch is in bound."""
    chance = random.Random(seed)
    admission = Admission(batch, staleness, interval)
    with tempfile.TemporaryDirectory() as directory:
        ledger = Ledger(Journal(Path(directory) / "ledger.jsonl"))
        ledger.publish(0)
        unleased: list[int] = []
        leased: dict[int, int] = {}  # group -> version of the engine that generates it
        used: list[int] = []
        rollouts, wanted = 0, 8 * batch
        while ledger.consumed < wanted:
            capacity = admission.capacity(
                open_groups=ledger.open_groups,
                consumed_since_publish=ledger.consumed_since_publish,
                still_needed=wanted - ledger.consumed - ledger.open_groups,
            )
            for _ in range(capacity):
                group_id = ledger.draw_id()
                ledger.admit(a_group(group_id), PromptRef(0, group_id))
                unleased.append(group_id)
            assert ledger.open_groups <= admission.window
            if unleased and chance.random() < 0.5:
                chosen = chance.choice(unleased)
                unleased.remove(chosen)
                leased[chosen] = ledger.version
            if leased and chance.random() < 0.5:
                chosen = chance.choice(sorted(leased))
                version = leased.pop(chosen)
                if chance.random() < 0.2:
                    ledger.drop(chosen, "filter")
                else:
                    assert ledger.complete(a_completion(chosen, version)) is not None
            ready = ledger.next_batch(batch)
            if ready is not None:
                rollouts += 1
                used += [entry.group.id for entry in ready]
                ledger.consume(ready, rollouts)
                assert ledger.staleness_max <= staleness
                if rollouts % interval == 0:
                    ledger.publish(ledger.version + 1)
        assert used == sorted(set(used))  # each once, in the order of admission
