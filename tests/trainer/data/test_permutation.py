"""The permutation: a bijection at every size, without preferred positions."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rljob_trainer.data.permutation import Permutation

# Pearson's statistic passes this in one of a million samples of k classes: k - 1 degrees of
# freedom, mean k - 1, variance 2 (k - 1); Wilson and Hilferty (1931) with z = 4.75.


def bound(classes: int) -> float:
    freedom = classes - 1
    third = 2 / (9 * freedom)
    return float(freedom * (1 - third + 4.75 * third**0.5) ** 3)


def statistic(counts: Counter[object], classes: int) -> float:
    """How far the counts are from all alike."""
    expected = counts.total() / classes
    missing = classes - len(counts)
    return sum((n - expected) ** 2 / expected for n in counts.values()) + missing * expected


@given(size=st.integers(1, 3000), seed=st.integers(0, 2**63), epoch=st.integers(0, 2**31))
def test_bijection(size: int, seed: int, epoch: int) -> None:
    permutation = Permutation(size, seed, epoch)
    assert len(permutation) == size
    assert sorted(permutation[n] for n in range(size)) == list(range(size))


@pytest.mark.parametrize("size", range(1, 130))
def test_bijection_of_every_small_size(size: int) -> None:
    permutation = Permutation(size, 1)
    assert sorted(permutation[n] for n in range(size)) == list(range(size))


@given(size=st.integers(2**32, 2**60), seed=st.integers(0, 2**63), data=st.data())
def test_sizes_beyond_any_memory(size: int, seed: int, data: st.DataObject) -> None:
    positions = data.draw(st.lists(st.integers(0, size - 1), unique=True, max_size=20))
    found = [Permutation(size, seed)[position] for position in positions]
    assert all(0 <= number < size for number in found)
    assert len(set(found)) == len(positions)


@pytest.mark.parametrize("position", [-1, 10])
def test_outside(position: int) -> None:
    with pytest.raises(IndexError):
        Permutation(10, 1)[position]


@pytest.mark.parametrize("size", [2, 3, 5, 7, 10, 16, 100, 997])
@pytest.mark.parametrize("position", ["first", "last"])
def test_over_seeds_every_number_comes_as_often(size: int, position: str) -> None:
    place = 0 if position == "first" else size - 1
    counts: Counter[object] = Counter(Permutation(size, seed)[place] for seed in range(20 * size))
    assert statistic(counts, size) < bound(size)


@pytest.mark.parametrize("size", [5, 12, 33])
def test_over_epochs_neighbours_are_independent(size: int) -> None:
    """Every pair that can follow one another does so as often as any other."""
    pairs = size * (size - 1)
    epochs = [Permutation(size, 7, epoch) for epoch in range(20 * pairs)]
    middle = size // 2
    counts: Counter[object] = Counter((each[middle], each[middle + 1]) for each in epochs)
    assert statistic(counts, pairs) < bound(pairs)


def test_all_orders_of_four_come_as_often() -> None:
    orders = (Permutation(4, seed) for seed in range(24 * 200))
    counts: Counter[object] = Counter(tuple(each[n] for n in range(4)) for each in orders)
    assert statistic(counts, 24) < bound(24)


def test_no_pattern_within_one_permutation() -> None:
    """Rises, fixed points and distances are those of a random order of 20,000 numbers.

    Of n - 1 steps half rise, with variance (n + 1) / 12; there is 1 fixed point in the mean, with
    variance 1; the mean distance of neighbours is (n + 1) / 3. Bounds are 5 standard deviations,
    that of the distances by their spread, n / sqrt(18), over n - 1 nearly independent ones.
    """
    size = 20_000
    permutation = Permutation(size, 3)
    order = [permutation[n] for n in range(size)]
    steps = [after - before for before, after in pairwise(order)]
    rises = sum(step > 0 for step in steps)
    assert abs(rises - (size - 1) / 2) < 5 * ((size + 1) / 12) ** 0.5
    assert sum(n == number for n, number in enumerate(order)) <= 6
    distance = sum(map(abs, steps)) / len(steps)
    assert abs(distance - (size + 1) / 3) < 5 * size / 18**0.5 / len(steps) ** 0.5
    assert max(Counter(steps).values()) < 20
