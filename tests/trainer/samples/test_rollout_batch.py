"""A rollout batch: its arrays hold all that the samples had, on every rank."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from rljob.buffer import records
from rljob.buffer.records import Segment, VersionSpan
from rljob_trainer.data.source import PromptRef
from rljob_trainer.process.collective import Rank0
from rljob_trainer.samples.ledger import OpenGroup
from rljob_trainer.samples.rollout_batch import RolloutBatch
from tests.support.a_sample import a_sample
from tests.trainer.megatron.ranks import Ranks
from tests.trainer.records import a_completion, a_group

REF = PromptRef(epoch=0, index=1)
TWO_VERSIONS = (VersionSpan(2, 0, 1), VersionSpan(3, 1, 2))


def groups() -> list[OpenGroup]:
    """Two groups: two samples of one version and of two; one that is empty."""
    samples = (
        a_sample([1, 2], logprobs=[-0.5, -1.5], versions=[VersionSpan(3, 0, 2)], reward=1.0),
        a_sample([1, 2], versions=TWO_VERSIONS, mask=[1, 0], reward=0.25, status="truncated"),
    )
    empty = a_sample(reward=-1.0)
    first = replace(a_group(1), samples=2, prompt_tokens=np.array([7, 8, 9], np.int32))
    return [
        OpenGroup(first, REF, 3, replace(a_completion(1, 3), samples=samples)),
        OpenGroup(a_group(2), REF, 3, replace(a_completion(2, 3), samples=(empty,))),
    ]


def check(batch: RolloutBatch) -> None:
    first, second, third = batch.trajectories()
    assert first.tokens.tolist() == second.tokens.tolist() == [7, 8, 9, 1, 2]
    assert (first.prompt_length, third.prompt_length) == (3, 1)
    assert first.rollout_log_probs.tolist() == [-0.5, -1.5]
    assert second.loss_mask.tolist() == [1, 0]
    assert (first.version, second.version, third.version) == (3, None, None)
    assert (first.truncated, second.truncated, third.truncated) == (False, True, False)
    assert (third.tokens.tolist(), third.response_length) == ([1], 0)
    assert batch.rewards.tolist() == [1, 0.25, -1]
    assert batch.groups.tolist() == [0, 0, 1]


def test_the_arrays_hold_what_the_samples_had() -> None:
    check(RolloutBatch.of(groups()))


def test_several_trajectories_of_a_sample_share_what_it_learns() -> None:
    """A sub-agent with a prompt of its own, and a turn that earned a part of the reward."""
    main = a_sample([1, 2, 3], mask=[1, 0, 1], reward=2.0)
    segment = Segment.generated(np.array([4], np.int32), np.array([-0.5], np.float32), ())
    agent = records.Trajectory(np.array([5, 6], np.int32), segment, np.array([0.75], np.float32))
    both = replace(main, trajectories=(*main.trajectories, agent))
    samples = (a_sample([9], reward=1.0), both)
    first = replace(a_group(1), samples=2, prompt_tokens=np.array([7], np.int32))
    batch = RolloutBatch.of(
        [OpenGroup(first, REF, 3, replace(a_completion(1, 3), samples=samples))]
    )
    one, two, three = batch.trajectories()
    assert [each.tokens.tolist() for each in (one, two, three)] == [[7, 9], [7, 1, 2, 3], [5, 6, 4]]
    assert [each.prompt_length for each in (one, two, three)] == [1, 1, 2]
    assert (one.sample, two.sample, three.sample) == (0, 1, 1)
    assert (one.sample_tokens, two.sample_tokens, three.sample_tokens) == (1, 3, 3)
    assert three.token_rewards is not None
    assert three.token_rewards.tolist() == [0.75]
    assert batch.rewards.tolist() == [1, 2]


def shared() -> Any:
    """On every rank: what rank 0 made, and whether an error of it reaches all."""
    dist.init_process_group("gloo")
    rank0 = Rank0(dist.get_rank())
    check(RolloutBatch(rank0.arrays(lambda: RolloutBatch.of(groups()).arrays)))

    def fail() -> dict[str, torch.Tensor]:
        raise ValueError("no batch")

    with pytest.raises(ValueError, match="no batch"):
        rank0.arrays(fail)


def test_every_rank_gets_them() -> None:
    ranks = Ranks(2)
    ranks.run(shared)
    ranks.close()
