"""The recorder makes trajectories of calls."""

import numpy as np
import pytest

from rljob.buffer.records import Segment, VersionSpan
from rljob_rollout.episodes.recorder import Recorder


def said(*tokens: int, version: int = 0) -> Segment:
    return Segment.generated(
        np.array(tokens, np.int32),
        np.full(len(tokens), -1.0, np.float32),
        [VersionSpan(version, 0, len(tokens))],
    )


def test_calls_that_extend_each_other_are_one_trajectory() -> None:
    recorder = Recorder([1, 2])
    recorder.add([1, 2], said(3, version=4))
    recorder.add([1, 2, 3, 9, 9], said(5, 6, version=7))
    (one,) = recorder.trajectories
    assert one.prompt is None
    assert one.segment.tokens.tolist() == [3, 9, 9, 5, 6]
    assert one.segment.loss_mask.tolist() == [1, 0, 0, 1, 1]
    assert one.segment.logprobs.tolist() == [-1, 0, 0, -1, -1]
    assert one.segment.versions == (VersionSpan(4, 0, 1), VersionSpan(7, 3, 5))


def test_a_second_answer_to_the_same_history_is_learned_but_not_its_history() -> None:
    recorder = Recorder([1])
    recorder.add([1], said(2))
    recorder.add([1, 2], said(3))
    recorder.add([1, 2], said(4))
    main, other = recorder.trajectories
    assert main.segment.tokens.tolist() == [2, 3]
    assert other.prompt is not None and other.prompt.tolist() == [1, 2]
    assert other.segment.tokens.tolist() == [4]


def test_a_context_that_was_cut_begins_anew() -> None:
    recorder = Recorder([1, 2, 3])
    recorder.add([1, 2, 3], said(4))
    recorder.add([1, 4, 5], said(6))
    assert [one.segment.tokens.tolist() for one in recorder.trajectories] == [[4], [6]]


def test_rewards_are_of_the_last_token_that_was_made() -> None:
    recorder = Recorder([1])
    with pytest.raises(ValueError, match="before the first generated token"):
        recorder.reward(1.0)
    recorder.add([1], said(2, 3))
    recorder.reward(0.5)
    recorder.reward(0.25)
    recorder.add([1, 2, 3, 9], said(4))
    recorder.reward(-1.0)
    (one,) = recorder.trajectories
    assert one.rewards is not None
    assert one.rewards.tolist() == [0, 0.75, 0, -1]
    assert recorder.earned == -0.25


def test_an_episode_without_a_call_has_a_trajectory_without_tokens() -> None:
    (one,) = Recorder([1]).trajectories
    assert one.prompt is None and len(one.segment) == 0
