"""A rollout worker's side of the buffer."""

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from rljob.buffer import connection, script
from rljob.buffer.connection import Patience
from rljob.buffer.keys import Keys
from rljob.buffer.records import Completion, Engine, Group, Lease, Partial, RunState
from rljob.buffer.together import Call, Together

T = TypeVar("T")

CLIENT_NAME_PREFIX = "rljob-rollout-"
_CONNECTIONS = 16
_SCRIPTS = ("heartbeat", "retire", "admissible", "lease", "renew", "release", "complete")


class WorkerBuffer:
    """A rollout worker's client of the buffer; all methods belong to one event loop.

    A call waits up to `patience_seconds` for an unreachable server, then raises BufferUnavailable.
    All calls may be cancelled: the next request finds what a cancelled or lost one did in the
    server. Only one task may lease and wait.
    """

    def __init__(
        self,
        url: str,
        job_key: str,
        password: str | None = None,
        *,
        worker: str,
        lease_seconds: float,
        patience_seconds: float = 60,
    ) -> None:
        self._keys = Keys(job_key)
        self._patience = Patience(url, patience_seconds)
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=None,
            retry=Retry(NoBackoff(), 0),
            **connection.options(CLIENT_NAME_PREFIX + worker, password),
        )
        self._redis: Any = redis.asyncio.Redis.from_pool(pool)  # which it then closes
        self._scripts = {
            name: self._redis.register_script(script.source(name)) for name in _SCRIPTS
        }
        self._lease_seconds = lease_seconds
        # Leases belong to this process: a restarted worker does not know its old leases.
        self._consumer = f"{worker}/{secrets.token_hex(8)}"
        self._owned: set[str] = set()  # entries leased and neither completed, released nor lost
        self._leasing = asyncio.Lock()
        self._complete = Together(self._complete_some)
        self._seen: bytes = b"0-0"  # last wake-up after which this worker has checked for work

    async def heartbeat(self, engine: Engine, ttl_seconds: float) -> None:
        """Register an engine, or keep it registered, for `ttl_seconds` from now."""
        record = {name: value for name, value in asdict(engine).items() if name != "id"}
        await self._call("heartbeat", engine.id, json.dumps(record), int(ttl_seconds * 1000))

    async def retire(self, engine_id: str) -> None:
        """Remove an engine from the registry."""
        await self._call("retire", engine_id)

    async def admissible_engines(self) -> list[Engine]:
        """The live engines that hold the published weights, by id; none if none are published."""
        return Engine.unpack_all(await self._call("admissible"))

    async def lease(self, engine_id: str, count: int) -> list[Lease]:
        """Lease up to `count` groups for this engine, for `lease_seconds`.

        None unless the run's phase is "running" and the engine holds the published weights.
        Evaluation groups come before training groups, and groups that were given back or whose
        lease expired before new ones. There are fewer if they would exceed connection.REPLY_BYTES
        together. This worker may get a group again whose lease it let expire.
        """
        # One at a time: a concurrent request would take the new leases for lost ones.
        async with self._leasing:
            deadline = time.monotonic() + self._lease_seconds
            self._seen, leases = await self._call(
                "lease",
                engine_id,
                self._consumer,
                count,
                int(self._lease_seconds * 1000),
                connection.REPLY_BYTES,
                *self._owned,
            )
            found = [
                Lease(
                    place.decode(),
                    Group.unpack(record),
                    deadline,
                    attempt,
                    Partial.unpack(partial) if partial else None,
                )
                for place, record, attempt, partial in leases
            ]
            self._owned.update(lease.entry for lease in found)
            return found

    async def wait(self, timeout_seconds: float) -> bool:
        """Wait until something may have changed since this worker last checked for work.

        Groups admitted or given back, weights published, an engine caught up, a new phase: each
        ends the wait, even if it came between `lease` and this call. An expired lease does not, so
        wait no longer than an expired group may stay unnoticed. False: the time is over.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            reply = await self._read_wake(min(left, connection.BLOCK))
            if reply:
                self._seen = reply[0][1][-1][0]
                return True
            if left == 0:
                return False

    async def renew(self, leases: Iterable[Lease]) -> set[int]:
        """Extend leases to `lease_seconds` from now; returns the groups that are still owned.

        The others were claimed by another worker, completed, or belong to an older incarnation.
        """
        asked = {lease.entry: lease.group.id for lease in leases}
        if not asked:
            return set()
        owned = {place.decode() for place in await self._call("renew", self._consumer, *asked)}
        self._owned -= asked.keys() - owned
        return {asked[place] for place in owned}

    async def complete(self, lease: Lease, completion: Completion) -> bool:
        """Hand a group's samples to the trainer.

        True for the first completion of the group. False if nothing was changed: the group is
        already completed or unknown, or a newer incarnation has begun.
        """
        if completion.group != lease.group.id:
            raise ValueError(f"completion of {completion.group} for the lease of {lease.group.id}")
        token = secrets.token_hex(8)
        # Many groups may be completed at the same time.
        first = await self._complete(
            completion.incarnation, completion.group, token, completion.pack()
        )
        self._owned.discard(lease.entry)
        return bool(first)

    async def release(
        self, lease: Lease, partial: Partial | None = None, *, is_lost: bool = False
    ) -> None:
        """Give a group back, so that any worker can lease it and continue from `partial`.

        With `is_lost` the lease counts as an attempt, as if this worker had died with the group.
        """
        record = b"" if partial is None else partial.pack()
        await self._call("release", self._consumer, lease.entry, record, int(is_lost))
        self._owned.discard(lease.entry)

    async def state(self) -> RunState:
        """The run's state; incarnation 0 in phase "starting" if the server has none."""
        incarnation, version, phase = await self._retry(
            lambda: self._redis.hmget(self._keys["state"], "incarnation", "version", "phase")
        )
        if incarnation is None:
            return RunState(0, -1, "starting")
        return RunState(int(incarnation), int(version), phase.decode())

    async def close(self) -> None:
        """Close the connections."""
        await self._complete.close()
        await self._redis.aclose()

    async def _complete_some(self, calls: Sequence[Call]) -> Sequence[Any]:
        """Replies to completions. Their tokens make retries idempotent."""

        async def send() -> Sequence[Any]:
            pipeline = self._redis.pipeline(transaction=False)
            for call in calls:
                await self._scripts["complete"](self._keys.all, call, client=pipeline)
            replies: Sequence[Any] = await pipeline.execute()
            return replies

        return await self._retry(send)

    async def _read_wake(self, block_seconds: float) -> Any:
        block = connection.block_milliseconds(block_seconds)
        return await self._retry(
            lambda: self._redis.xread({self._keys["wake"]: self._seen}, block=block)
        )

    async def _call(self, name: str, *arguments: Any) -> Any:
        return await self._retry(lambda: self._scripts[name](self._keys.all, arguments))

    async def _retry(self, request: Callable[[], Awaitable[T]]) -> T:
        attempts = self._patience.attempts()
        while True:
            try:
                reply = await _cancellable(request)
            except redis.RedisError as error:
                await asyncio.sleep(attempts.failed(error))
            else:
                attempts.succeeded()
                return reply


async def _cancellable(request: Callable[[], Awaitable[T]]) -> T:
    """The reply; CancelledError if the task was cancelled at any time in between.

    redis-py connects and sends with asyncio.wait_for, which up to Python 3.11 forgets a
    cancellation that comes as it returns: https://github.com/python/cpython/issues/86296.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        return await request()
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError
