"""Minimal groups and completions."""

import numpy as np

from rljob.buffer.records import Completion, Group, VersionSpan
from tests.support.a_sample import a_sample


def a_group(group_id: int) -> Group:
    return Group(
        id=group_id,
        incarnation=1,
        kind="train",
        prompt="p",
        prompt_tokens=np.array([1], np.int32),
        messages=None,
        label="l",
        metadata={},
        samples=1,
        sampling={},
        rewards=[],
        seed=0,
    )


def a_completion(group_id: int, version: int) -> Completion:
    sample = a_sample([1, 2], versions=[VersionSpan(version, 0, 2)], response="r", reward=1.0)
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
