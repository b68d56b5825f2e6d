"""Partitions of a batch: complete, within the budget, balanced, the same everywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rljob_trainer.trajectories.microbatch import (
    micro_batches_by_tokens,
    micro_batches_of_size,
    rank_shares,
)

LENGTHS = st.lists(st.integers(1, 5000), max_size=60)


def flat(parts: list[list[int]]) -> list[int]:
    return sorted(sample for part in parts for sample in part)


@given(LENGTHS, st.integers(1, 8))
def test_shares_are_a_balanced_partition(lengths: list[int], ranks: int) -> None:
    shares = rank_shares(lengths, ranks)
    assert flat(shares) == list(range(len(lengths)))
    counts = [len(share) for share in shares]
    assert len(counts) == ranks
    assert max(counts) - min(counts) <= 1
    tokens = [sum(lengths[sample] for sample in share) for share in shares]
    assert max(tokens) - min(tokens) <= max(lengths, default=0)


@given(LENGTHS.filter(bool), st.integers(1, 8))
def test_samples_of_one_length_are_shared_evenly(lengths: list[int], ranks: int) -> None:
    shares = rank_shares([lengths[0]] * len(lengths) * ranks, ranks)
    assert {len(share) for share in shares} == {len(lengths)}


@given(LENGTHS, st.integers(1, 10_000))
def test_a_budget_is_kept(lengths: list[int], budget: int) -> None:
    parts = micro_batches_by_tokens(range(len(lengths)), lengths, budget)
    assert flat(parts) == list(range(len(lengths)))
    for part in parts:
        cost = len(part) * max(lengths[sample] for sample in part)
        assert cost <= budget or len(part) == 1


@given(LENGTHS, st.integers(1, 10_000))
def test_a_budget_is_used(lengths: list[int], budget: int) -> None:
    """No micro-batch has room for the next one's first sample."""
    parts = micro_batches_by_tokens(range(len(lengths)), lengths, budget)
    for part in parts[:-1]:
        assert (len(part) + 1) * max(lengths[sample] for sample in part) > budget


@given(LENGTHS, st.integers(1, 9))
def test_micro_batches_of_a_size(lengths: list[int], size: int) -> None:
    parts = micro_batches_of_size(range(len(lengths)), lengths, size)
    assert flat(parts) == list(range(len(lengths)))
    assert all(len(part) == size for part in parts[:-1])
    assert all(0 < len(part) <= size for part in parts)


@given(LENGTHS, st.integers(1, 4), st.integers(1, 10_000))
def test_only_the_lengths_decide(lengths: list[int], ranks: int, budget: int) -> None:
    """Ranks compute the partition for themselves: ties must not be decided by chance."""
    shares = rank_shares(lengths, ranks)
    assert shares == rank_shares(tuple(lengths), ranks)
    for share in shares:
        straight = micro_batches_by_tokens(share, lengths, budget)
        assert straight == micro_batches_by_tokens(share[::-1], lengths, budget)


def test_by_hand() -> None:
    lengths = [10, 90, 20, 40, 30, 80]
    # 90 and 80; 40 to the lighter, so both have 120; then 20 to the first.
    assert rank_shares(lengths, 2) == [[1, 4, 2], [5, 3, 0]]
    # 90 alone is above the budget; 80 leaves no room; 2 x 40 does, 2 x 20 does.
    assert micro_batches_by_tokens(range(6), lengths, 85) == [[1], [5], [3, 4], [2, 0]]


def test_samples_keep_their_numbers() -> None:
    assert micro_batches_of_size([5, 2, 9], [1] * 10, 2) == [[2, 5], [9]]


@pytest.mark.parametrize("ranks", [3, 4])
def test_fewer_samples_than_ranks(ranks: int) -> None:
    assert rank_shares([7, 8], ranks) == [[1], [0], *[[]] * (ranks - 2)]


def test_a_micro_batch_may_fill_its_budget() -> None:
    assert len(micro_batches_by_tokens(range(4), [5, 5, 5, 5], 10)) == 2
    assert len(micro_batches_by_tokens(range(4), [5, 5, 5, 5], 9)) == 4
