"""The processes that run the user's generate function, as the worker sees them."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

import structlog

from rljob.api.quantity import bytes_of
from rljob.api.rollout import EpisodesSpec
from rljob.errors import UsageError
from rljob_rollout.episodes.blocked import blocked_at
from rljob_rollout.episodes.host import BEAT_SECONDS
from rljob_rollout.memory_limit import OUT_OF_MEMORY

log = structlog.get_logger()

_START_SECONDS = 120.0  # to import the user's module
_LOOK_SECONDS = 0.5
# Beyond the time that a function may block: then the process could not even end itself.
_SILENT_SECONDS = 5 * BEAT_SECONDS
_LONGEST_LINE = 1 << 28


class HostLostError(Exception):
    """The process with the episode ended or was killed.

    `is_culprit`: because of this episode; None: nobody knows.
    """

    def __init__(self, reason: str, *, is_culprit: bool | None) -> None:
        super().__init__(reason)
        self.is_culprit = is_culprit


@dataclass
class _Process:
    """A host, and the episodes in it by number."""

    process: asyncio.subprocess.Process
    writer: asyncio.StreamWriter
    reader: asyncio.StreamReader
    playing: dict[int, asyncio.Future[dict[str, Any]]]
    heard: float
    trace: IO[str]
    is_alone: bool
    culprit: int | None = None
    reason: str = ""


class Hosts:
    """Several host processes; one that is lost is replaced, and its episodes are told."""

    def __init__(
        self,
        hook: str,
        spec: EpisodesSpec,
        replica: int,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            hook: the generate function, "module:function".
            spec: the job's.
            replica: the worker's number, for log lines.
            arguments: the job's under slime's names, for a function written for it.
        """
        self._hook = hook
        self._arguments = dict(arguments or {})
        self._spec = spec
        self._replica = replica
        self._processes: list[_Process] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._changed = asyncio.Event()
        self._quarantine = asyncio.Lock()
        self._alone: _Process | None = None
        self._broken: UsageError | None = None  # why a process could not be replaced

    async def start(self) -> None:
        """Starts the processes; returns when all have loaded the function.

        Raises:
            UsageError: it can't be loaded.
        """
        await asyncio.gather(*(self._start() for _ in range(self._spec.processes)))

    async def play(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Plays an episode where there are the fewest; returns what the host answered.

        Raises:
            HostLostError: the process was lost meanwhile.
            UsageError: it could not be replaced: the function can't be loaded any more.
        """
        while not self._processes:
            if self._broken is not None:
                raise self._broken
            self._changed.clear()
            await self._changed.wait()
        return await self._play(min(self._processes, key=lambda one: len(one.playing)), order)

    async def play_alone(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """The same in a process without other episodes, one after the other.

        Raises:
            HostLostError: the process was lost, and this episode is the cause.
        """
        async with self._quarantine:
            if self._alone is None:
                self._alone = await self._start(is_alone=True)
            try:
                return await self._play(self._alone, order)
            except HostLostError:
                self._alone = None
                raise

    async def _play(self, one: _Process, order: Mapping[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        one.playing[number] = answer
        try:
            _send(one, {"number": number, **order})
            return await answer
        finally:
            one.playing.pop(number, None)
            if answer.cancelled() and not one.writer.is_closing():
                _send(one, {"number": number, "cancel": True})

    async def close(self) -> None:
        """Kills the processes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        alone = [self._alone] if self._alone is not None else []
        for one in [*self._processes, *alone]:
            await _ended(one)
        self._processes.clear()

    async def _start(self, *, is_alone: bool = False) -> _Process:
        ours, theirs = socket.socketpair()
        trace = tempfile.TemporaryFile("w+")  # noqa: SIM115 - _lost closes it
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "rljob_rollout.episodes.host",
                str(theirs.fileno()),
                str(trace.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), trace.fileno()],
                # Signals to the worker's group are for the worker.
                process_group=0,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        reader, writer = await asyncio.open_connection(sock=ours, limit=_LONGEST_LINE)
        one = _Process(process, writer, reader, {}, time.monotonic(), trace, is_alone)
        settings = {
            "hook": self._hook,
            "memory": bytes_of(self._spec.memory),
            "block_seconds": self._spec.block_seconds,
            "replica": self._replica,
            "arguments": self._arguments,
        }
        _send(one, settings)
        try:
            async with asyncio.timeout(_START_SECONDS):
                line = await reader.readline()
        except TimeoutError:
            line = b""
        first = json.loads(line) if line else {}
        if "ready" not in first:
            await _ended(one)
            wrong = first.get("unusable") or (
                "the process that imports its module ended, or took more than "
                f"{_START_SECONDS:.0f} s; allowed: a module that can be imported"
            )
            raise UsageError(f"spec.rollout.generate: found {self._hook!r}, but {wrong}")
        one.heard = time.monotonic()
        if not is_alone:
            self._processes.append(one)
            self._changed.set()
        task = asyncio.create_task(self._follow(one))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return one

    async def _follow(self, one: _Process) -> None:
        """Hears a host until it is lost, then replaces it."""
        hearing = asyncio.create_task(self._hear(one))
        silent = self._spec.block_seconds + _SILENT_SECONDS
        try:
            while not hearing.done():
                await asyncio.wait([hearing], timeout=_LOOK_SECONDS)
                if not hearing.done() and time.monotonic() - one.heard > silent:
                    one.reason = f"did not let other code run for {silent:.0f} s"
                    break
        finally:
            hearing.cancel()
            _kill(one)
        await self._lost(one)
        if one.is_alone:
            return
        try:
            await self._start()
        except UsageError as error:
            log.warning("episodes.process_not_replaced", reason=str(error))
            self._broken = error
            self._changed.set()

    async def _hear(self, one: _Process) -> None:
        while line := await one.reader.readline():
            one.heard = time.monotonic()
            message = json.loads(line)
            if "culprit" in message:
                one.culprit = message["culprit"]
                continue
            answer = one.playing.get(message.get("number", 0))
            if answer is not None and not answer.done():
                answer.set_result(message)

    async def _lost(self, one: _Process) -> None:
        code = await one.process.wait()
        if not one.is_alone:
            self._processes.remove(one)
        playing = {number: answer for number, answer in one.playing.items() if not answer.done()}
        one.trace.seek(0)
        with one.trace:
            blocked = blocked_at(one.trace.read())
        if not playing:
            return
        reason = one.reason or self._what(code)
        if blocked is not None:
            one.culprit, place = blocked
            reason = (
                f"blocked the event loop for {self._spec.block_seconds:g} s at {place} "
                "(rollout.episodes.blockSeconds); use `await context.tool(function, ...)`"
            )
        log.warning("episodes.process_lost", reason=reason, episodes=len(playing))
        culprit = next(iter(playing)) if len(playing) == 1 else one.culprit
        for number, answer in playing.items():
            is_culprit = None if culprit is None else number == culprit
            answer.set_exception(HostLostError(reason, is_culprit=is_culprit))

    def _what(self, code: int) -> str:
        if code == OUT_OF_MEMORY:
            return f"took more than {self._spec.memory} of memory (rollout.episodes.memory)"
        if code < 0:
            return f"ended its process by {signal.Signals(-code).name}"
        return f"ended its process with exit code {code}"


def _send(one: _Process, message: Mapping[str, Any]) -> None:
    one.writer.write(json.dumps(message).encode() + b"\n")


async def _ended(one: _Process) -> None:
    """Kills a host that nobody follows any more."""
    _kill(one)
    await one.process.wait()
    one.trace.close()


def _kill(one: _Process) -> None:
    """Kills a host and what it has started."""
    one.writer.close()
    if one.process.returncode is None:
        # Not process.kill(), which may take the exit code away from asyncio.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
