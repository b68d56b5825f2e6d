"""Minimal groups and completions."""

import numpy as np

from rljob.buffer.records import Completion, Group, Sample, VersionSpan


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
