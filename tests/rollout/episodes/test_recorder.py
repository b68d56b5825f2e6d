"""The recorder makes trajectories of calls."""

from typing import Any

import numpy as np
import pytest

from rljob.buffer.records import Segment, VersionSpan
from rljob_rollout.episodes.recorder import Recorder, ReturnedError


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


def sample(*tokens: int, length: int, mask: list[int] | None = None) -> dict[str, Any]:
    return {"tokens": list(tokens), "length": length, "mask": mask}


def test_returned_samples_are_trajectories() -> None:
    """A context that was cut, and a chain: the second call goes on from the first."""
    recorder = Recorder([1, 2])
    recorder.add([1, 2], said(3, version=4))
    recorder.add([1, 2, 3, 9], said(5, 6, version=7))
    recorder.add([8, 6], said(7, version=7))
    first, second, cut = recorder.returned(
        [
            sample(1, 2, 3, length=1),
            sample(1, 2, 3, 9, 5, 6, length=2),
            sample(8, 6, 7, length=1),
        ]
    )
    assert first.prompt is None
    assert second.prompt is not None and second.prompt.tolist() == [1, 2, 3, 9]
    assert cut.prompt is not None and cut.prompt.tolist() == [8, 6]
    segments = [one.segment for one in (first, second, cut)]
    assert [segment.tokens.tolist() for segment in segments] == [[3], [5, 6], [7]]
    assert [segment.loss_mask.tolist() for segment in segments] == [[1], [1, 1], [1]]
    assert segments[1].versions == (VersionSpan(7, 0, 2),)


def test_a_token_that_two_samples_would_learn_is_refused() -> None:
    recorder = Recorder([1, 2])
    recorder.add([1, 2], said(3))
    recorder.add([1, 2, 3, 9], said(5))
    with pytest.raises(ReturnedError) as raised:
        recorder.returned([sample(1, 2, 3, length=1), sample(1, 2, 3, 9, 5, length=3)])
    assert str(raised.value) == (
        "sample 2 of 2, but its token at position 2 is learned in an earlier sample, too; allowed: "
        "loss_mask 0 for it in all samples but one"
    )


def test_the_mask_says_which_of_two_samples_learns_a_token() -> None:
    recorder = Recorder([1, 2])
    recorder.add([1, 2], said(3))
    recorder.add([1, 2, 3, 9], said(5))
    chain = recorder.returned(
        [sample(1, 2, 3, length=1), sample(1, 2, 3, 9, 5, length=3, mask=[0, 0, 1])]
    )
    assert [one.segment.loss_mask.tolist() for one in chain] == [[1], [0, 0, 1]]


def test_calls_that_made_the_same_tokens_are_told_apart() -> None:
    """Each sample gets the tokens of its own call, whichever comes first."""
    recorder = Recorder([1])
    recorder.add([1], said(2, 3, version=4))
    recorder.add([1], said(2, 5, version=6))
    later, earlier = recorder.returned([sample(1, 2, 5, length=2), sample(1, 2, 3, length=2)])
    assert later.segment.versions == (VersionSpan(6, 0, 2),)
    assert earlier.segment.versions == (VersionSpan(4, 0, 2),)


def test_two_calls_with_the_same_answer_are_two_samples_but_not_three() -> None:
    recorder = Recorder([1])
    recorder.add([1], said(2, version=4))
    recorder.add([1], said(2, version=6))
    same = sample(1, 2, length=1)
    both = recorder.returned([same, same])
    assert [one.segment.versions[0].version for one in both] == [4, 6]
    with pytest.raises(ReturnedError, match="a sample, but its token at position 1 is learned in"):
        recorder.returned([same])
