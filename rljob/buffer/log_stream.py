"""The output of pods on its way to the run volume, which only the trainer's pods have.

It is a copy: what a full or unreachable server does not take, or the trainer does not fetch in
time, is lost here, and stays in the pod's own log.
"""

import queue
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from rljob.buffer import connection
from rljob.buffer.keys import Keys

_CLIENT_NAME = "rljob-log"
_EVERY_SECONDS = 1.0
_ENTRY_BYTES = 16 * 1024
_ENTRIES = 256  # in the stream, so that it holds at most 4 MiB
_KEPT_LINES = 4096  # while the server is away, or the trainer has not begun; then they are dropped
_LAST_SECONDS = 2.0  # for the last lines of a pod that ends
_CHUNK = 64  # entries of one reply


@dataclass(frozen=True)
class Output:
    """Lines that a pod printed.

    Args:
        role: role of the pod.
        member: unique name of the process in the job.
        text: the lines, each with its line break.
    """

    role: str
    member: str
    text: bytes


class LogSender:
    """Sends the lines of one pod, in a thread; it never blocks, and never raises."""

    def __init__(
        self, url: str, job_key: str, password: str | None, *, role: str, member: str
    ) -> None:
        self._key = Keys(job_key)["logs"]
        self._redis = _client(url, password)
        self._from = {"role": role, "member": member}
        self._lines: queue.Queue[bytes | None] = queue.Queue(_KEPT_LINES)
        self._thread = threading.Thread(target=self._run, name="log-sender", daemon=True)

    def put(self, line: bytes) -> None:
        """Send a line, with its line break, within about a second. For one thread."""
        # Not earlier: a process that runs threads should not fork, and the first line comes from
        # the process that was forked.
        if self._thread.ident is None:
            self._thread.start()
        with suppress(queue.Full):  # the pod's own log has it
            self._lines.put_nowait(line)

    def close(self) -> None:
        """Send what is left, if that does not take long."""
        if self._thread.ident is None:
            return  # there was no line
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(_LAST_SECONDS)

    def _run(self) -> None:
        text, ended = b"", False
        while not ended:
            more, ended = self._gather(_ENTRY_BYTES - len(text))
            text += more
            if not text or self._sent(text):
                text = b""
            elif not ended:
                time.sleep(_EVERY_SECONDS)

    def _gather(self, room: int) -> tuple[bytes, bool]:
        """The lines of the next second, up to `room` bytes and a line; whether it was closed."""
        lines: list[bytes] = []
        deadline = time.monotonic() + _EVERY_SECONDS
        while room > 0:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if line is None:
                return b"".join(lines), True
            lines.append(line[-_ENTRY_BYTES:])
            room -= len(line)
        return b"".join(lines), False

    def _sent(self, text: bytes) -> bool:
        """Whether the server took it."""
        try:
            # Only the trainer makes the stream, so that a server keeps no key of an ended run.
            entry = self._redis.xadd(
                self._key, {**self._from, "text": text}, maxlen=_ENTRIES, nomkstream=True
            )
        except redis.RedisError:
            return False
        return entry is not None


class LogReceiver:
    """Fetches what the pods have sent."""

    def __init__(self, url: str, job_key: str, password: str | None) -> None:
        self._key = Keys(job_key)["logs"]
        self._redis = _client(url, password)
        self._handed = "0-0"  # the entry after the last one that was handed out

    def fetch(self) -> list[Output]:
        """The next output, in order; empty if there is none, or the server does not answer.

        The next call deletes it from the server; if there is none, because this process died, the
        next trainer gets it again.
        """
        try:
            self._redis.xtrim(self._key, minid=self._handed, approximate=False)
            entries = self._redis.xrange(self._key, count=_CHUNK)
        except redis.RedisError:
            return []
        if entries:
            self._handed = _after(entries[-1][0])
        return [
            Output(fields[b"role"].decode(), fields[b"member"].decode(), fields[b"text"])
            for _, fields in entries
            if fields.keys() >= {b"role", b"member", b"text"}
        ]

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()


def _client(url: str, password: str | None) -> Any:
    options = connection.options(_CLIENT_NAME, password)
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **options)


def _after(entry: bytes) -> str:
    milliseconds, _, number = entry.decode().partition("-")
    return f"{milliseconds}-{int(number) + 1}"
