"""The weights of one version on the host, readable while they are still being gathered."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from rljob_trainer.weights.bucket import Bucket

_LOOK_SECONDS = 0.001


class IncompleteError(Exception):
    """The gathering has failed: there will be no more buckets."""


class Snapshot:
    """Buckets in order. One thread fills it; any number of coroutines read it meanwhile.

    This way gathering the next bucket overlaps with sending the last, and an engine that joins
    late, or an update that is repeated, gets the same bytes.
    """

    def __init__(self, version: int) -> None:
        self.version = version
        self._buckets: list[Bucket] = []
        self._filled = False
        self._broken = False

    @property
    def nbytes(self) -> int:
        """Bytes gathered so far."""
        return sum(bucket.data.numel() for bucket in self._buckets)

    def fill(self, buckets: Iterable[Bucket]) -> None:
        """Gathers everything; readers get a bucket once it is known whether it is the last."""
        try:
            for bucket in buckets:
                self._buckets.append(bucket)
            self._filled = True
        finally:
            self._broken = not self._filled

    async def read(self) -> AsyncIterator[tuple[Bucket, bool]]:
        """Every bucket, and whether it is the last.

        Raises:
            IncompleteError: the gathering has failed.
        """
        number = 0
        while True:
            # In this order: once the end is known, the count includes every bucket.
            filled, gathered = self._filled, len(self._buckets)
            if number + 1 < gathered or (filled and number < gathered):
                yield self._buckets[number], number + 1 == gathered
                number += 1
            elif filled:
                return
            elif self._broken:
                raise IncompleteError
            else:
                await asyncio.sleep(_LOOK_SECONDS)
