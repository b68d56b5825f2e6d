from collections.abc import Iterator

import pytest

from tests.trainer.megatron.ranks import Ranks


@pytest.fixture(scope="package")
def two_ranks() -> Iterator[Ranks]:
    ranks = Ranks(2)
    yield ranks
    ranks.close()
