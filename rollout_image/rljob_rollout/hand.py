"""The groups that a worker currently holds."""

import asyncio
import time
from collections.abc import Iterable

from rljob.buffer.records import Lease


class Hand:
    """Leases that the worker holds: at most `limit`, or fewer if the engine can't handle them."""

    def __init__(self, limit: int) -> None:
        self._most = limit
        self._limit = limit
        self._leases: dict[str, Lease] = {}  # by entry: group ids repeat in another incarnation
        self._room = asyncio.Event()
        self._room.set()
        self._busy_seconds = 0.0
        self._busy_since: float | None = None

    def __len__(self) -> int:
        return len(self._leases)

    def __contains__(self, lease: Lease) -> bool:
        return lease.entry in self._leases

    @property
    def leases(self) -> list[Lease]:
        """All leases."""
        return list(self._leases.values())

    @property
    def busy_seconds(self) -> float:
        """Seconds during which the worker held at least one lease."""
        now = time.monotonic()
        return self._busy_seconds + (0.0 if self._busy_since is None else now - self._busy_since)

    async def room(self) -> int:
        """How many more leases fit; waits until at least one does."""
        await self._room.wait()
        return self._limit - len(self._leases)

    def add(self, leases: Iterable[Lease]) -> None:
        """Adds new leases."""
        self._leases.update((lease.entry, lease) for lease in leases)
        self._note_change()

    def drop(self, lease: Lease) -> None:
        """Removes a lease that was completed, given back or lost."""
        self._leases.pop(lease.entry, None)
        self._note_change()

    @property
    def limit(self) -> int:
        """How many leases fit at present."""
        return self._limit

    def shrink(self) -> None:
        """Halves the limit, because the engine fell silent under what is held now.

        An engine that is only slow would otherwise get the same load again and again, and never
        finish any of it.
        """
        self._limit = max(1, min(self._limit, len(self._leases)) // 2)

    def grow(self) -> None:
        """Raises the limit again by one, because a group was completed."""
        self._limit = min(self._most, self._limit + 1)
        self._note_change()

    def _note_change(self) -> None:
        if self._leases and self._busy_since is None:
            self._busy_since = time.monotonic()
        elif not self._leases and self._busy_since is not None:
            self._busy_seconds += time.monotonic() - self._busy_since
            self._busy_since = None
        if len(self._leases) < self._limit:
            self._room.set()
        else:
            self._room.clear()
