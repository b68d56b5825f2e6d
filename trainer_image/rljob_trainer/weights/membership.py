"""Which engines take part in updates: the trainer's state of each engine, and the rules.

docs/weights.md describes the states and their transitions. Nothing here communicates.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from rljob.buffer.records import Engine

_FIRST_BACK_OFF_SECONDS = 1.0
_LAST_BACK_OFF_SECONDS = 60.0
# An engine that updates have overtaken this often while it was being brought to the previous
# version waits for the next update and takes part in it.
_MOST_OVERTAKEN = 2


class State(Enum):
    """The trainer's view of an engine."""

    NEW = "new"  # registered; its weights are unknown
    JOINING = "joining"  # being brought to the published version, apart from the others
    MEMBER = "member"  # holds a version of this run, and takes part in the next update
    LEFT_OUT = "left out"  # failed to take part; it is retried later


@dataclass
class Member:
    """One engine. `version` is the last one that it has received completely; -1: none."""

    engine: Engine
    state: State = State.NEW
    version: int = -1
    failures: int = 0  # in a row
    failed_at: float = 0.0  # seconds of a monotonic clock
    overtaken: int = 0  # in a row

    def is_due(self, now: float, *, alone: bool) -> bool:
        """Whether an engine that was left out is retried now. `alone`: there is no other."""
        longest = _FIRST_BACK_OFF_SECONDS if alone else _LAST_BACK_OFF_SECONDS
        pause = min(_FIRST_BACK_OFF_SECONDS * 2.0 ** (self.failures - 1), longest)
        return now - self.failed_at >= pause


class Membership:
    """The live engines, and the published version.

    An update goes to the engines that already hold weights. A new engine is brought to the
    published version separately and takes part from the next update on, so an engine that hangs or
    dies while it joins holds up nobody.
    """

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self.version = -1  # published

    def see(self, engines: Iterable[Engine]) -> None:
        """Sets the live engines and forgets all others. A new id is a new engine."""
        known = self._members
        self._members = {e.id: known.get(e.id) or Member(e) for e in engines}

    def is_live(self, engine: Engine) -> bool:
        """Whether the engine was among those seen last."""
        return engine.id in self._members

    def current(self) -> list[str]:
        """Ids of the engines that hold the published version and so are admitted to work."""
        return sorted(m.engine.id for m in self._members.values() if self._is_current(m))

    def lagging(self) -> int:
        """The number of live engines that do not hold the published version."""
        return len(self._members) - len(self.current())

    def for_update(self, now: float) -> list[Engine]:
        """Engines that take part in an update that begins now, by id; empty: there are none yet."""
        members = self._of(State.MEMBER)
        if not members and not self._of(State.JOINING):
            # At the start of a run, or after all were lost. Engines that have failed are retried
            # one at a time, so that a sound one is not always paired with a faulty one.
            due = sorted(self._due(now), key=lambda member: member.failed_at)
            members = self._of(State.NEW) or due[:1]
        return [member.engine for member in members]

    def for_joining(self, now: float) -> list[Engine]:
        """Engines that are to be brought to the published version now."""
        if self.version < 0:
            return []
        lagging = [
            member
            for member in self._of(State.MEMBER)
            if not self._is_current(member) and member.overtaken < _MOST_OVERTAKEN
        ]
        return [member.engine for member in [*self._of(State.NEW), *lagging, *self._due(now)]]

    def join(self, engines: Iterable[Engine]) -> None:
        """Marks engines as being brought to the published version."""
        for member in self._known(engines):
            member.state = State.JOINING

    def release(self, engines: Iterable[Engine]) -> None:
        """Puts engines that are still joining back to their earlier state, as one has failed."""
        for member in self._known(engines):
            if member.state is State.JOINING:
                member.state = State.NEW if member.version < 0 else State.MEMBER

    def receive(self, engine: Engine, version: int) -> None:
        """Records that an engine has received a version completely."""
        for member in self._known([engine]):
            member.state, member.version, member.failures = State.MEMBER, version, 0
            member.overtaken = 0 if version >= self.version else member.overtaken + 1

    def fail(self, engine: Engine, now: float) -> None:
        """Records that an engine failed: what it holds is no longer a valid version."""
        for member in self._known([engine]):
            member.state, member.version = State.LEFT_OUT, -1
            member.failures += 1
            member.failed_at = now

    def publish(self, version: int, receivers: Sequence[Engine]) -> list[str]:
        """Makes a version the published one; returns the ids of its receivers, even if gone."""
        self.version = version
        for engine in receivers:
            self.receive(engine, version)
        return sorted(engine.id for engine in receivers)

    def _known(self, engines: Iterable[Engine]) -> list[Member]:
        """Those of the engines that are still registered."""
        return [self._members[e.id] for e in engines if e.id in self._members]

    def _is_current(self, member: Member) -> bool:
        return member.state is State.MEMBER and member.version == self.version

    def _of(self, state: State) -> list[Member]:
        found = [member for member in self._members.values() if member.state is state]
        return sorted(found, key=lambda member: member.engine.id)

    def _due(self, now: float) -> list[Member]:
        left_out = self._of(State.LEFT_OUT)
        alone = len(left_out) == len(self._members)
        return [member for member in left_out if member.is_due(now, alone=alone)]
