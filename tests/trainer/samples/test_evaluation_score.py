"""The numbers of an evaluation."""

import itertools
import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rljob_trainer.samples.evaluation_score import (
    Answers,
    Score,
    majority,
    margin,
    pass_at,
    powers,
    score,
)

REWARDS = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), min_size=1, max_size=8)


def prompt(*rewards: float, answers: Sequence[str | None] = ()) -> Answers:
    count = len(rewards)
    return Answers(rewards, answers or (None,) * count, (10,) * count, (False,) * count)


def scored(*prompts: Answers, failed: int = 0, pass_reward: float = 1.0) -> Score:
    samples = len(prompts[0].rewards)
    return score(prompts, failed=failed, samples=samples, pass_reward=pass_reward)


@pytest.mark.parametrize("samples", range(1, 8))
def test_pass_at_k_is_the_share_of_choices_with_one_that_passes(samples: int) -> None:
    """By enumeration of all choices of k samples, which is what the formula counts."""
    for passed, k in itertools.product(range(samples + 1), range(1, samples + 1)):
        all_samples = [True] * passed + [False] * (samples - passed)
        choices = [any(choice) for choice in itertools.combinations(all_samples, k)]
        expected = sum(choices) / len(choices)
        assert pass_at(k, samples, passed) == pytest.approx(expected)


def test_pass_at_k_by_hand() -> None:
    assert pass_at(1, 5, 2) == pytest.approx(2 / 5)
    assert pass_at(2, 5, 2) == pytest.approx(1 - 3 / 10)  # C(3, 2) / C(5, 2)
    # Chen et al. draw 200 samples and report k up to 100; C(200, 100) has 59 digits.
    assert pass_at(100, 200, 1) == pytest.approx(0.5)
    assert pass_at(1, 2000, 1) == pytest.approx(1 / 2000)


@given(samples=st.integers(1, 300), data=st.data())
def test_pass_at_k_agrees_with_whole_numbers(samples: int, data: st.DataObject) -> None:
    passed = data.draw(st.integers(0, samples))
    k = data.draw(st.integers(1, samples))
    exact = 1 - math.comb(samples - passed, k) / math.comb(samples, k)
    assert pass_at(k, samples, passed) == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize(
    ("samples", "ks"),
    [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8]), (12, [1, 2, 4, 8, 12])],
)
def test_the_ks(samples: int, ks: list[int]) -> None:
    assert powers(samples) == ks


def test_margin_by_hand() -> None:
    # Means 0 and 1: variance 0.5, standard error sqrt(0.5 / 2) = 0.5.
    assert margin([0.0, 1.0]) == pytest.approx(0.98)
    assert margin([0.25, 0.25, 0.25]) == 0.0
    assert margin([0.5]) is None


def test_margin_is_clustered_by_prompt() -> None:
    """Miller's clustered error (arXiv 2411.00640), over all pairs of a prompt's responses.

    It has no correction for the mean being estimated: sqrt(N / (N - 1)) for N prompts.
    """
    prompts = [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]]
    responses = [reward for rewards in prompts for reward in rewards]
    mean = sum(responses) / len(responses)
    pairs = sum(
        (one - mean) * (other - mean)
        for rewards in prompts
        for one, other in itertools.product(rewards, repeat=2)
    )
    error = math.sqrt(pairs) / len(responses) * math.sqrt(4 / 3)
    assert margin([sum(rewards) / 3 for rewards in prompts]) == pytest.approx(1.96 * error)


def test_majority_by_hand() -> None:
    assert majority(prompt(1.0, 1.0, 0.0, answers=["4", "4", "5"])) == 1.0
    assert majority(prompt(1.0, 0.0, 0.0, answers=["4", "5", "5"])) == 0.0
    # Equally frequent: the mean of both answers' rewards, whatever comes first.
    assert majority(prompt(1.0, 0.0, 1.0, 0.0, answers=["4", "5", "4", "5"])) == 0.5
    # A response without an answer has no vote, and three of them do not outvote one.
    assert majority(prompt(1.0, 0.0, 0.0, 0.0, answers=["4", None, None, None])) == 1.0
    assert majority(prompt(-1.0, -1.0, answers=[None, None])) == -1.0
    # The same answer was judged differently, for instance because one response was cut.
    assert majority(prompt(1.0, 0.0, 0.0, answers=["4", "4", "5"])) == 0.5


@given(
    answered=st.lists(
        st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from(["4", "5", "6", None])), min_size=1
    ),
    seed=st.integers(0, 99),
)
def test_majority_does_not_depend_on_the_order(
    answered: list[tuple[float, str | None]], seed: int
) -> None:
    mixed = random.Random(seed).sample(answered, len(answered))
    one, other = (
        majority(prompt(*(r for r, _ in each), answers=[a for _, a in each]))
        for each in (answered, mixed)
    )
    assert one == other


def test_a_data_set_by_hand() -> None:
    result = score(
        [
            Answers((1.0, 0.0), ("4", "5"), (10, 20), (False, False)),
            Answers((0.0, 0.0), ("7", "7"), (30, 40), (False, True)),
        ],
        failed=0,
        samples=2,
        pass_reward=1.0,
    )
    # Prompts' means are 0.5 and 0: variance 0.125, standard error 0.25.
    assert result == Score(
        reward=0.25,
        margin=pytest.approx(0.49),
        passes={1: 0.25, 2: 0.5},
        majority=(2, 0.25),
        length=25.0,
        truncated=0.25,
    )
    assert list(result.numbers()) == [
        *("reward", "margin", "pass@1", "pass@2", "majority@2", "length", "truncated")
    ]


def test_a_failed_prompt_stays_in_the_denominator() -> None:
    result = scored(prompt(1.0, 1.0, answers=["4", "4"]), failed=3)
    assert result.reward == 0.25
    assert result.passes == {1: 0.25, 2: 0.25}
    assert result.majority == (2, 0.25)
    assert result.margin == pytest.approx(0.49)  # of the means 1, 0, 0, 0: sqrt(0.25 / 4) = 0.25
    assert result.length == 10.0  # of the responses that there are


def test_the_reward_that_passes() -> None:
    graded = prompt(0.4, 0.5, 0.9, 1.0)
    assert scored(graded).passes[1] == 0.25
    assert scored(graded, pass_reward=0.5).passes[1] == 0.75
    assert scored(prompt(-1.0), pass_reward=-1.0).passes == {1: 1.0}


def test_what_is_not_known_is_left_out() -> None:
    assert "majority@2" not in scored(prompt(0.0, 1.0)).numbers()  # nobody has extracted answers
    single = scored(prompt(1.0, answers=["4"]))
    assert list(single.numbers()) == ["reward", "pass@1", "length", "truncated"]


@given(rewards=st.lists(REWARDS, min_size=1, max_size=6), failed=st.integers(0, 3))
def test_bounds(rewards: list[list[float]], failed: int) -> None:
    """Failed prompts only lower what is passed; more tries never pass less."""
    samples = min(map(len, rewards))
    prompts = [prompt(*each[:samples]) for each in rewards]
    with_failed, without = scored(*prompts, failed=failed), scored(*prompts)
    for result in (with_failed, without):
        values = list(result.passes.values())
        assert values == sorted(values)
        assert all(0.0 <= value <= 1.0 for value in values)
    share = len(prompts) / (len(prompts) + failed)
    assert with_failed.reward == pytest.approx(without.reward * share)
    for k, value in with_failed.passes.items():
        assert value == pytest.approx(without.passes[k] * share)
