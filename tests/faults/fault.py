"""What can go wrong between the operator and the API server."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """A reply of the proxy's own; code 0: the connection is cut instead."""

    code: int
    reason: str = ""
    retry_after: int | None = None


class Fault:
    """None at all; each kind of fault overrides what it disturbs.

    One belongs to one proxy, and is only used by its event loop.
    """

    kill: Callable[[], None]  # ends the operator; set by the world that this is a fault of

    async def lease(self) -> None:
        """Before a request for the Lease, apart from `before`."""

    async def write(self, path: str) -> Refusal | None:
        """Before a write to a path, apart from `before`; a refusal keeps it from the server."""
        return None

    async def before(self, number: int) -> Refusal | None:
        """Before a request goes to the server; a refusal keeps it from there.

        Args:
            number: of this write, from 1; 0: it only reads.
        """
        return None

    async def after(self, number: int) -> Refusal | None:
        """After the server has done it; a refusal takes the place of its reply."""
        return None

    async def events(self, line: bytes) -> list[bytes] | None:
        """What is passed on of an event of a watch; None: the connection is cut."""
        return [line]

    def listed(self, url: str, reply: bytes) -> bytes:
        """What is passed on of a list or an object that is read."""
        return reply


@dataclass
class Kill(Fault):
    """The operator is killed, once, by a write.

    Args:
        number: of the write.
        done: after the server has done it, and before the reply comes; otherwise before.
    """

    number: int
    done: bool

    async def before(self, number: int) -> Refusal | None:
        return self._kill(number) if not self.done else None

    async def after(self, number: int) -> Refusal | None:
        return self._kill(number) if self.done else None

    def _kill(self, number: int) -> Refusal | None:
        if number != self.number:
            return None
        self.kill()
        return Refusal(0)


@dataclass
class Refuse(Fault):
    """Some requests are refused.

    Args:
        code: HTTP status; 0: the connection is cut.
        reason: the server's word for it.
        share: of the requests.
        seed: of the choice.
        retry_after: seconds, for a header.
        done: the request is done before, and only its reply is lost.
        writes: only writes are refused.
    """

    code: int
    reason: str
    share: float
    seed: int
    retry_after: int | None = None
    done: bool = False
    writes: bool = False

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    async def before(self, number: int) -> Refusal | None:
        return None if self.done else self._refuse(number)

    async def after(self, number: int) -> Refusal | None:
        return self._refuse(number) if self.done else None

    def _refuse(self, number: int) -> Refusal | None:
        if (self.writes and not number) or self._random.random() >= self.share:
            return None
        return Refusal(self.code, self.reason, self.retry_after)


@dataclass
class RefuseKind(Fault):
    """All writes to one kind are refused, until `over` is set.

    Args:
        resource: plural of the kind, e.g. services.
        refusal: the reply.
    """

    resource: str
    refusal: Refusal
    over: bool = False
    times: int = 0  # refused so far

    async def write(self, path: str) -> Refusal | None:
        if self.over or f"/{self.resource}" not in path:
            return None
        self.times += 1
        return self.refusal


@dataclass
class Hang(Fault):
    """Some writes get no reply, though they are done, until the operator gives up.

    Args:
        number: of the first that hangs.
        every: how many writes are from one to the next.
        seconds: how long; longer than the operator waits.
    """

    number: int
    every: int
    seconds: float

    async def after(self, number: int) -> Refusal | None:
        if number < self.number or (number - self.number) % self.every:
            return None
        await asyncio.sleep(self.seconds)
        return Refusal(0)


class SilentLease(Fault):
    """Requests for the Lease neither reach the server nor get a reply, while `silent` is set."""

    silent = False

    async def lease(self) -> None:
        while self.silent:
            await asyncio.sleep(0.1)


@dataclass
class Drop(Fault):
    """Some events of watches are lost."""

    share: float
    seed: int

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    async def events(self, line: bytes) -> list[bytes] | None:
        return [] if self._random.random() < self.share else [line]


class Double(Fault):
    """Every event of a watch comes twice."""

    async def events(self, line: bytes) -> list[bytes] | None:
        return [line, line]


@dataclass
class Delay(Fault):
    """Events of watches come late; those of one watch stay in their order.

    Args:
        seconds: at most.
        seed: of the delays.
    """

    seconds: float
    seed: int

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    async def events(self, line: bytes) -> list[bytes] | None:
        if self._random.random() < 0.5:
            await asyncio.sleep(self._random.uniform(0, self.seconds))
        return [line]


@dataclass
class CutWatches(Fault):
    """Watches end in the middle of an event."""

    share: float
    seed: int

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    async def events(self, line: bytes) -> list[bytes] | None:
        return None if self._random.random() < self.share else [line]


@dataclass
class Stale(Fault):
    """What is read is at times as it was when it was read before.

    Args:
        share: of the reads.
        seed: of the choice.
    """

    share: float
    seed: int

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._before: dict[str, bytes] = {}

    def listed(self, url: str, reply: bytes) -> bytes:
        old = self._before.get(url)
        if old is not None and self._random.random() < self.share:
            return old
        self._before[url] = reply
        return reply


class Several(Fault):
    """Some faults at once."""

    def __init__(self, *faults: Fault) -> None:
        self._faults = faults

    async def before(self, number: int) -> Refusal | None:
        for fault in self._faults:
            refusal = await fault.before(number)
            if refusal is not None:
                return refusal
        return None

    async def after(self, number: int) -> Refusal | None:
        for fault in self._faults:
            refusal = await fault.after(number)
            if refusal is not None:
                return refusal
        return None

    async def events(self, line: bytes) -> list[bytes] | None:
        lines = [line]
        for fault in self._faults:
            passed = [await fault.events(each) for each in lines]
            if None in passed:
                return None
            lines = [each for some in passed for each in some or []]
        return lines

    def listed(self, url: str, reply: bytes) -> bytes:
        for fault in self._faults:
            reply = fault.listed(url, reply)
        return reply
