"""The trainer's side of the buffer."""

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from rljob.buffer import connection, script
from rljob.buffer.connection import Patience
from rljob.buffer.keys import Keys
from rljob.buffer.owner import UNNAMED, Owner
from rljob.buffer.records import Completion, Engine, Group, Memory, Occupancy, Phase
from rljob.errors import UsageError

T = TypeVar("T")

CLIENT_NAME = "rljob-trainer"
# Groups in a request, and completions in a reply: neither must block the server for long.
_CHUNK = 256
# Bytes of the groups in a request with more than one: the server counts them as used memory.
_REQUEST_BYTES = 2**20
_SCRIPTS = (
    "start",
    "destroy",
    "restore",
    "admit",
    "ready",
    "acknowledge",
    "set_version",
    "set_engine_version",
    "set_phase",
    "occupancy",
    "engines",
    "snapshot",
)

log = structlog.get_logger()


class FencedError(Exception):
    """A newer trainer has started: this one is fenced off and must stop."""


class TrainerBuffer:
    """The trainer's client of the buffer.

    Group ids are unique within an incarnation, evaluation groups included, and never reused. A call
    waits up to `patience_seconds` for an unreachable server, then raises BufferUnavailable. Writes
    to a server that has lost the run change nothing: `lost` detects this, and `restore` followed by
    admitting the open groups repairs it. FencedError is raised once a newer trainer has started.
    `admit`, `collect` and `lost` must be called from one thread; the others from any.
    """

    def __init__(
        self,
        url: str,
        job_key: str,
        password: str | None = None,
        *,
        owner: Owner = UNNAMED,
        patience_seconds: float = 60,
        tell: connection.Tell | None = None,
    ) -> None:
        self._job_key = job_key
        self._owner = owner
        self._keys = Keys(job_key)
        self._patience = Patience(url, patience_seconds, tell)
        self._redis: Any = redis.Redis.from_url(
            url, retry=Retry(NoBackoff(), 0), **connection.options(CLIENT_NAME, password)
        )
        self._scripts = {
            name: self._redis.register_script(script.source(name)) for name in _SCRIPTS
        }
        self._incarnation = 0
        self._version = -1
        self._phase: Phase = "starting"
        self._engine_versions: dict[str, int] = {}
        # Admitted and not handed out yet. A completion of any other group is a duplicate, e.g. from
        # a server that restarted with slightly older data.
        self._open: set[int] = set()
        # Handed out and not acknowledged yet: entry of the samples stream, group id.
        self._handed: list[tuple[bytes, int]] = []
        # To be admitted once the server has room, in this order.
        self._held_back: list[Group] = []
        # Since when no group is open because the server has no room; None: not the case.
        self._stuck_since: float | None = None

    def start(self, incarnation_floor: int) -> int:
        """Begin a new incarnation, above the stored one and the floor, and return it.

        Groups and samples of older incarnations are dropped, and writes for them refused from now
        on; engines stay registered. The phase is "running", no weights are published. UsageError
        if the server may evict keys, or another run of this name is active there.
        """
        self._check_eviction()
        token = secrets.token_hex(8)
        owner = self._owner
        reply = self._call("start", incarnation_floor, token, owner.id, owner.place)
        self._check_rival(reply)
        self._incarnation = reply
        self._version, self._phase = -1, "running"
        self._engine_versions = {}
        self._open.clear()
        self._handed.clear()
        self._held_back.clear()
        return self._incarnation

    def admit(self, groups: Iterable[Group]) -> None:
        """Offer groups to the workers, in this order; a known group is left unchanged.

        Groups for which a full server has no room are held back until `collect` makes room.
        """
        self._held_back.extend(groups)
        self._admit()

    def collect(self, block_seconds: float) -> list[Completion]:
        """Completed groups, each once; waits up to `block_seconds` for the first.

        Completions are acknowledged at the next call: if a reply is lost, the next one has the same
        completions. RecordError if a worker wrote a record that this version can't read.
        BufferUnavailable if the server has long been full with no group that could be completed.
        """
        deadline = time.monotonic() + block_seconds
        while True:
            if self._handed:
                self._write("acknowledge", *(part for pair in self._handed for part in pair))
                self._handed.clear()
            self._admit()
            left = max(0.0, deadline - time.monotonic())
            read = [
                (entry, Completion.unpack(data))
                for entry, data in self._read(min(left, connection.BLOCK))
            ]
            fresh = [completion for entry, completion in read if self._accept(entry, completion)]
            if fresh or left == 0:
                return fresh

    def set_version(self, version: int, engine_ids: Sequence[str]) -> None:
        """Publish a weight version; from now on only these engines get work."""
        self._version = version
        self._engine_versions = dict.fromkeys(engine_ids, version)
        self._write("set_version", version, *engine_ids)

    def set_engine_version(self, engine_id: str, version: int) -> None:
        """Record that one engine has caught up to a version."""
        self._engine_versions = {**self._engine_versions, engine_id: version}
        self._write("set_engine_version", engine_id, version)

    def set_phase(self, phase: Phase) -> None:
        """Set the phase of the run; workers lease only while it is "running"."""
        self._phase = phase
        self._write("set_phase", phase)

    def engines(self) -> list[Engine]:
        """The live engines, by id: those whose last heartbeat has not expired."""
        return Engine.unpack_all(self._call("engines"))

    def occupancy(self) -> Occupancy:
        """Numbers of groups that are waiting, leased, and ready to be collected."""
        waiting, leased, ready = self._call("occupancy")
        return Occupancy(waiting, leased, max(0, ready - len(self._handed)))

    def memory(self) -> Memory | None:
        """Memory of the server; None if its user may not ask."""
        found = self._retry(self._memory)
        return None if found is None else Memory(found["used_memory"], found["maxmemory"])

    def lost(self) -> bool:
        """Whether the server has lost some of this trainer's data."""
        state, pairs, registered, groups = self._call("snapshot")
        versions = dict(zip(pairs[::2], pairs[1::2], strict=True))
        incarnation = int(state[0] or 0)
        self._check_fence(incarnation)
        expected = {key.encode(): version for key, version in self._engine_versions.items()}
        return not (
            state == [str(own).encode() for own in (self._incarnation, self._version, self._phase)]
            # A retired engine no longer has a version.
            and all(
                int(versions.get(key, -1)) >= version
                for key, version in expected.items()
                if key in registered
            )
            and self._open <= {int(key) for key in groups}
        )

    def restore(self) -> None:
        """Write incarnation, versions and phase back to a server that has lost them.

        Afterwards all open groups must be admitted again; those that the server still has are left
        unchanged.
        """
        # Completions that the server still has are read again and recognized as duplicates.
        self._handed.clear()
        self._held_back.clear()
        pairs = (part for pair in self._engine_versions.items() for part in pair)
        owner = self._owner
        self._write("restore", self._version, self._phase, owner.id, owner.place, *pairs)

    def destroy(self) -> None:
        """Delete all keys of this job from the server.

        UsageError if they belong to another run of this name that is active.
        """
        self._check_rival(self._call("destroy", self._owner.id))

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _read(self, block_seconds: float) -> list[tuple[bytes, bytes]]:
        """Entry and data of completions not acknowledged yet.

        It always reads from the start of the stream, from which acknowledged entries are deleted.
        """
        found = self._call("ready", _CHUNK, connection.REPLY_BYTES)
        block = connection.block_milliseconds(block_seconds)
        if not found and block is not None:
            # XREAD waits for the first entry, because a script cannot wait.
            samples = {self._keys["samples"]: "0"}
            if self._retry(lambda: self._redis.xread(samples, count=1, block=block)):
                found = self._call("ready", _CHUNK, connection.REPLY_BYTES)
        return list(zip(found[::2], found[1::2], strict=True))

    def _check_eviction(self) -> None:
        """UsageError if the server evicts keys when it is full: groups would be lost."""
        found = self._retry(self._memory)
        address = self._patience.address
        policy = None if found is None else found.get("maxmemory_policy")
        if policy is None:
            log.warning("buffer.eviction_unknown", address=address, needed="noeviction")
        elif policy != "noeviction":
            raise UsageError(
                f"buffer: {address}: found maxmemory-policy {policy}, allowed noeviction: "
                "a full server must not evict keys"
            )

    def _memory(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._redis.info("memory")
        except redis.exceptions.NoPermissionError:
            return None  # this user may not ask
        return found

    def _admit(self) -> None:
        """Offer the groups that are held back, until the server has no more room."""
        while self._held_back:
            chunk = _chunk(self._held_back)
            ids = {group.id for group, _ in chunk}
            # Before sending: if the reply is lost, their completions must still be accepted.
            self._open |= ids
            try:
                self._write("admit", *(p for g, record in chunk for p in (g.id, g.kind, record)))
            except redis.RedisError as error:
                if not connection.is_full(error):
                    raise
                self._open -= ids
                self._full(error)
                return
            del self._held_back[: len(chunk)]
            self._stuck_since = None

    def _full(self, error: redis.RedisError) -> None:
        log.info("buffer.full", address=self._patience.address, held_back=len(self._held_back))
        now = time.monotonic()
        if self._open or self._handed:
            self._stuck_since = None  # these will make room
        elif self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since >= self._patience.limit(full=True):
            raise self._patience.unavailable(error, full=True) from error

    def _accept(self, entry: bytes, completion: Completion) -> bool:
        """Record that an entry was read; False if its group was handed out before."""
        self._check_fence(completion.incarnation)
        self._handed.append((entry, completion.group))
        if completion.group not in self._open:
            log.info("buffer.repetition", group=completion.group, worker=completion.worker)
            return False
        self._open.remove(completion.group)
        return True

    def _write(self, name: str, *arguments: Any) -> None:
        self._check_fence(self._call(name, self._incarnation, *arguments))

    def _check_fence(self, incarnation: int) -> None:
        if incarnation > self._incarnation:
            raise FencedError(
                f"a newer trainer has started: incarnation {incarnation}, this one's is "
                f"{self._incarnation}; {self._newer()}"
            )

    def _newer(self) -> str:
        """The run of the newer trainer, in words."""
        run, place = self._retry(lambda: self._redis.hmget(self._keys["state"], "run", "place"))
        if run is None or run.decode() == self._owner.id:
            return "it belongs to the same run"
        return (
            f"it belongs to another run of the job {self._job_key} on {self._patience.address}: "
            f"{place.decode()}; give one of them another name"
        )

    def _check_rival(self, reply: int | bytes) -> None:
        """UsageError if a script has replied with another run's place."""
        if isinstance(reply, bytes):
            raise UsageError(
                f"buffer: {self._patience.address}: the job {self._job_key} is in use by another "
                f"run: {reply.decode()}; give one of them another name or database, or stop the "
                "other (a run that was killed counts as active until its engines have been silent "
                "for 15 s)"
            )

    def _call(self, name: str, *arguments: Any) -> Any:
        return self._retry(lambda: self._scripts[name](self._keys.all, arguments))

    def _retry(self, request: Callable[[], T]) -> T:
        attempts = self._patience.attempts()
        while True:
            try:
                reply = request()
            except redis.RedisError as error:
                if connection.is_full(error):
                    raise  # only `collect` makes room
                time.sleep(attempts.failed(error))
            else:
                attempts.succeeded()
                return reply


def _chunk(groups: Sequence[Group]) -> list[tuple[Group, bytes]]:
    """The first groups with their records, as many as fit into one request."""
    chunk: list[tuple[Group, bytes]] = []
    size = 0
    for group in groups[:_CHUNK]:
        record = group.pack()
        size += len(record)
        if chunk and size > _REQUEST_BYTES:
            break
        chunk.append((group, record))
    return chunk
