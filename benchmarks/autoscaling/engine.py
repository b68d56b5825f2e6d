"""A rollout replica: an engine that divides its speed among the groups it is generating."""

import heapq
from dataclasses import dataclass, field

from benchmarks.autoscaling.scenario import SPEED


@dataclass
class Replica:
    """A replica from its creation to its end; call `advance` before any other method.

    Args:
        number: of the replica, never reused.
        born: when it was created.
        full: the number of groups at which it reaches half of its maximum tokens per second.
    """

    number: int
    born: float
    full: float
    serving: bool = False  # holds the published weights
    ready: bool = False
    busy: float = 0.0  # seconds with at least one group
    lengths: dict[int, tuple[float, ...]] = field(default_factory=dict)
    version: int = 0  # of its plan: an event of an older plan is void
    _done: list[tuple[float, int]] = field(default_factory=list)  # tokens at which a group is done
    _begun: dict[int, float] = field(default_factory=dict)
    _tokens: float = 0.0  # of a response that has been generating from the start
    _at: float = 0.0

    def __len__(self) -> int:
        return len(self.lengths)

    def advance(self, now: float) -> None:
        """Generates until `now`."""
        if self.lengths:
            self.busy += now - self._at
            self._tokens += (now - self._at) * self._speed()
        self._at = now

    def take(self, group: int, lengths: tuple[float, ...]) -> None:
        """Starts a group."""
        self.lengths[group] = lengths
        self._begun[group] = self._tokens
        heapq.heappush(self._done, (self._tokens + max(lengths), group))
        self.version += 1

    def complete(self) -> tuple[int, float]:
        """Ends the group that is done; returns its number and tokens."""
        _, group = heapq.heappop(self._done)
        del self._begun[group]
        self.version += 1
        return group, sum(self.lengths.pop(group))

    def give_back(self) -> list[tuple[int, tuple[float, ...]]]:
        """Gives up all groups, and what was generated of them; returns the groups."""
        groups = sorted(self.lengths.items())
        self.lengths, self._begun, self._done = {}, {}, []
        self.version += 1
        return groups

    def next_done(self) -> float | None:
        """When the next group will be done if nothing changes."""
        if not self._done:
            return None
        return self._at + max(0.0, self._done[0][0] - self._tokens) / self._speed()

    def cached(self) -> float:
        """Tokens in its key-value cache; finished responses no longer count."""
        return sum(
            got
            for group, lengths in self.lengths.items()
            for length in lengths
            if (got := self._tokens - self._begun[group]) < length
        )

    def _speed(self) -> float:
        return SPEED / (1 + len(self.lengths) / self.full)
