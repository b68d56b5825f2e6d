"""How an engine's replies are parsed, and how requests are divided."""

from typing import Any

import numpy as np
import pytest

from rljob.api.reward import RewardSpec, only
from rljob.api.rollout import SamplingSpec
from rljob.buffer.records import Group, Lease, VersionSpan
from rljob_rollout.generation import (
    RefusedError,
    Wanted,
    parse_response,
    sample_seed,
    timeout_by_length,
)
from rljob_rollout.serving import portions


def item(spans: list[tuple[str, int, int]], **meta: Any) -> dict[str, Any]:
    """A reply for three tokens, as SGLang 0.5.23 gives it."""
    return {
        "output_ids": [5, 6, 1],
        "meta_info": {
            "finish_reason": {"type": "stop", "matched": 1},
            "output_token_logprobs": [[-0.5, 5, None], [-1.5, 6, None], [-0.25, 1, None]],
            "weight_version": spans[-1][0],
            "weight_versions": [{"version": v, "start": s, "end": e} for v, s, e in spans],
            **meta,
        },
    }


def test_tokens_logprobs_and_versions_are_those_of_the_engine() -> None:
    response = parse_response(item([("7", 0, 2), ("8", 2, 3)]))
    assert response.segment.tokens.tolist() == [5, 6, 1]
    assert response.segment.tokens.dtype == np.int32
    assert response.segment.logprobs.tolist() == [-0.5, -1.5, -0.25]
    assert response.segment.logprobs.dtype == np.float32
    assert response.segment.versions == (VersionSpan(7, 0, 2), VersionSpan(8, 2, 3))
    assert response.finish == "stop"


@pytest.mark.parametrize(
    "spans",
    [[("7", 0, 2)], [("7", 1, 3)], [("7", 0, 1), ("8", 2, 3)], [("7", 0, 4)]],
    ids=["ends early", "begins late", "has a gap", "ends late"],
)
def test_a_token_without_a_version_is_an_error(spans: list[tuple[str, int, int]]) -> None:
    with pytest.raises(ValueError, match="3 tokens with 3 log-probabilities and weight versions"):
        parse_response(item(spans))


def test_a_missing_logprob_is_an_error() -> None:
    with pytest.raises(ValueError, match="3 tokens with 1 log-probabilities"):
        parse_response(item([("7", 0, 3)], output_token_logprobs=[[-0.5, 5, None]]))


ABORTED = {"type": "abort", "message": "Aborted", "status_code": None}


def test_what_was_aborted_is_there_as_far_as_the_engine_has_it() -> None:
    response = parse_response(item([("7", 0, 3)], finish_reason=ABORTED))
    assert (response.finish, response.segment.tokens.tolist()) == ("abort", [5, 6, 1])
    waiting = {"output_ids": [], "meta_info": {"finish_reason": ABORTED}}
    assert parse_response(waiting).segment.tokens.tolist() == []
    halved = parse_response(item([("7", 0, 2)], finish_reason=ABORTED))
    assert (halved.finish, halved.segment.tokens.tolist()) == ("abort", [])


def test_continued_response_has_the_versions_of_both_parts() -> None:
    first = parse_response(item([("7", 0, 3)], finish_reason=ABORTED))
    whole = first.continued(parse_response(item([("7", 0, 1), ("8", 1, 3)])))
    assert whole.segment.tokens.tolist() == [5, 6, 1, 5, 6, 1]
    assert whole.segment.logprobs.tolist() == [-0.5, -1.5, -0.25] * 2
    assert whole.segment.versions == (VersionSpan(7, 0, 4), VersionSpan(8, 4, 6))
    assert whole.finish == "stop"


def test_what_is_refused_is_an_error() -> None:
    refused = {"type": "abort", "message": "too long", "status_code": 400}
    with pytest.raises(RefusedError, match="400: too long"):
        parse_response(item([("7", 0, 3)], finish_reason=refused))


def lease(samples: int, tokens: int) -> Lease:
    group = Group(
        id=1,
        incarnation=1,
        kind="train",
        prompt="",
        prompt_tokens=np.array([1], np.int32),
        messages=None,
        label=None,
        metadata={},
        samples=samples,
        sampling=SamplingSpec(max_response_tokens=tokens).model_dump(),
        rewards=[only(RewardSpec()).model_dump()],
        seed=0,
    )
    return Lease("train 1-1", group, 0.0, 1, None)


@pytest.mark.parametrize(
    ("samples", "tokens", "sizes"),
    [
        (8, 4, [32, 32, 16]),  # 256 samples in a request
        (8, 128, [8] * 10),  # 8,192 tokens
        (8, 1024, [1] * 80),
        (16, 8192, [1] * 80),  # one group goes by itself, however large
        (1, 4, [80]),
    ],
)
def test_short_responses_share_a_request_and_long_ones_do_not(
    samples: int, tokens: int, sizes: list[int]
) -> None:
    leases = [lease(samples, tokens)] * 80
    assert [len(portion) for portion in portions(leases)] == sizes


@pytest.mark.parametrize(
    ("tokens", "sampling", "finish"),
    [
        ([5, 6, 1], {}, "stop"),  # the end token of the model
        ([5, 6, 1], {"ignore_eos": True}, "abort"),
        ([5, 1, 6], {}, "abort"),  # in the middle it is no end
        ([5, 6, 9], {"stop_token_ids": [9]}, "stop"),
        ([5, 6, 9], {"max_response_tokens": 3}, "length"),
    ],
)
def test_what_was_interrupted_at_its_end_is_not_continued(
    tokens: list[int], sampling: dict[str, Any], finish: str
) -> None:
    """SGLang 0.5.23 looks for an interruption before it looks for the end."""
    group = lease(1, 8).group
    group.sampling.update(sampling)
    reply = item([("7", 0, 3)], finish_reason=ABORTED)
    wanted = Wanted(group.prompt_tokens.tolist(), group.sampling, seed=0)
    wanted.add(parse_response(reply | {"output_ids": tokens}), end_tokens=[1])
    assert wanted.found is not None
    assert (wanted.found.finish, wanted.is_done) == (finish, finish != "abort")


def test_no_two_samples_of_neighbouring_groups_share_a_seed() -> None:
    seeds = [sample_seed(1_000_003 + group, index) for group in range(200) for index in range(16)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert sample_seed(7, 0) == sample_seed(7, 0)


def test_the_default_deadline_grows_with_the_longest_response() -> None:
    assert timeout_by_length(1024) == 600 + 512
