"""A rollout replica: an engine that shares its speed among the groups it has in hand."""

import heapq
from dataclasses import dataclass, field

from benchmarks.autoscaling.scenario import SPEED


@dataclass
class Replica:
    """From its creation to its end; `advance` before anything is asked or changed.

    Args:
        number: of the replica, never used again.
        born: when it was created.
        full: groups with which it has half of its most tokens per second.
    """

    number: int
    born: float
    full: float
    serving: bool = False  # holds the published weights
    ready: bool = False
    busy: float = 0.0  # seconds with a group in hand
    lengths: dict[int, tuple[float, ...]] = field(default_factory=dict)
    version: int = 0  # of its plan: an event of an older one is void
    _done: list[tuple[float, int]] = field(default_factory=list)  # tokens at which a group is
    _begun: dict[int, float] = field(default_factory=dict)
    _tokens: float = 0.0  # that a response has got which is here since the beginning
    _at: float = 0.0

    def __len__(self) -> int:
        return len(self.lengths)

    def advance(self, now: float) -> None:
        """Generates until now."""
        if self.lengths:
            self.busy += now - self._at
            self._tokens += (now - self._at) * self._speed()
        self._at = now

    def take(self, group: int, lengths: tuple[float, ...]) -> None:
        """Begins a group."""
        self.lengths[group] = lengths
        self._begun[group] = self._tokens
        heapq.heappush(self._done, (self._tokens + max(lengths), group))
        self.version += 1

    def complete(self) -> tuple[int, float]:
        """Ends the group that is done; its number and tokens."""
        _, group = heapq.heappop(self._done)
        del self._begun[group]
        self.version += 1
        return group, sum(self.lengths.pop(group))

    def give_back(self) -> list[tuple[int, tuple[float, ...]]]:
        """Leaves all its groups, with what was generated of them."""
        groups = sorted(self.lengths.items())
        self.lengths, self._begun, self._done = {}, {}, []
        self.version += 1
        return groups

    def next_done(self) -> float | None:
        """When the next group is done, as things are."""
        if not self._done:
            return None
        return self._at + max(0.0, self._done[0][0] - self._tokens) / self._speed()

    def cached(self) -> float:
        """Tokens in its key-value cache; a response that has ended has left it."""
        return sum(
            got
            for group, lengths in self.lengths.items()
            for length in lengths
            if (got := self._tokens - self._begun[group]) < length
        )

    def _speed(self) -> float:
        return SPEED / (1 + len(self.lengths) / self.full)
