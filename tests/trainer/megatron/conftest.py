from collections.abc import Iterator

import pytest

from tests.support.disk import small_disk
from tests.trainer.megatron.ranks import Ranks

__all__ = ["small_disk"]


@pytest.fixture(scope="session")
def other_process() -> Iterator[Ranks]:
    """A process of its own, which has nothing but what it is given or reads."""
    ranks = Ranks(1)
    yield ranks
    ranks.close()


@pytest.fixture(scope="session")
def two_ranks() -> Iterator[Ranks]:
    ranks = Ranks(2)
    yield ranks
    ranks.close()


@pytest.fixture(scope="session")
def four_ranks() -> Iterator[Ranks]:
    ranks = Ranks(4)
    yield ranks
    ranks.close()
