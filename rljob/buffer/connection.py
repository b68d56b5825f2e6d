"""How both clients reach the server: options, and what they do while it cannot be reached."""

import random
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import structlog
from redis import exceptions

from rljob.errors import UsageError

# A server that does not answer within this is treated as gone. Seconds.
SOCKET_TIMEOUT = 5.0
# Blocking reads are asked for at most this long at a time, well within the socket's timeout: a
# frozen server is then told from one that has nothing to say. Seconds.
BLOCK = 2.0
# A reply with records holds at most so many bytes of them, or one record: it has to pass within the
# socket's timeout.
REPLY_BYTES = 64 * 2**20
# A full server is waited for so many times as long as one that cannot be reached: it answers, and
# has room again once the trainer collects.
_FULL_FACTOR = 10
# Back-off between attempts, in seconds: doubled from the first to the last.
FIRST_DELAY, LAST_DELAY = 0.05, 2.0

# Answers of a server that is up but cannot serve now: it loads its data, fails over, is full, or
# cannot write to its disk.
_PASSING = (
    exceptions.ConnectionError,  # includes a server that still loads its data
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
    exceptions.NoScriptError,  # restarted between the loading of a script and its call
)
_PASSING_CODES = {  # those without a class of their own, and all inside a script of Redis 6.2
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "UNBLOCKED",
}
# redis-py puts the command before the error of a pipeline, and quotes the error.
_OF_A_PIPELINE = re.compile(r"Command # \d+ .* of pipeline caused error: [('\"]*", re.DOTALL)
# Redis up to 6.2 wraps the error of a command inside a script in one of its own:
# "Error running script (call to f_...): @user_script:1: @user_script: 1: -OOM command not allowed".
_WRAPPED = re.compile(r"Error running script .*?: -?([A-Z]+) ", re.DOTALL)

Tell = Callable[[str, str], None]

log = structlog.get_logger()


def code(error: exceptions.RedisError) -> str:
    """The first word of the server's answer, as MISCONF; redis-py takes it off where it has a class
    for it, as for OOM outside of the scripts of Redis 6.2.
    """
    text = _OF_A_PIPELINE.sub("", str(error), count=1)
    wrapped = _WRAPPED.match(text)
    return wrapped[1] if wrapped else text.partition(" ")[0]


def is_passing(error: exceptions.RedisError) -> bool:
    """Whether the same request may succeed later."""
    return isinstance(error, _PASSING) or code(error) in _PASSING_CODES


def is_full(error: exceptions.RedisError) -> bool:
    """Whether the server has no memory left for what the request would add."""
    return isinstance(error, exceptions.OutOfMemoryError) or code(error) == "OOM"


class BufferUnavailable(Exception):  # noqa: N818 - a state of the world, no bug
    """The server could not be reached for as long as the client is patient."""


def options(name: str, password: str | None) -> dict[str, Any]:
    """Options of a redis client that appears as `name` in the server's CLIENT LIST."""
    return {
        "client_name": name,
        "socket_timeout": SOCKET_TIMEOUT,
        "socket_connect_timeout": SOCKET_TIMEOUT,
        "socket_keepalive": True,
        "protocol": 2,  # one shape of replies, from old and new servers and clients
    } | ({} if password is None else {"password": password})


def block_milliseconds(seconds: float) -> int | None:
    """BLOCK of a read that waits for at most `seconds`; BLOCK 0 would wait for ever."""
    return max(1, int(seconds * 1000)) if seconds > 0 else None


class Patience:
    """Retries of one client: how long, and one log line when the server goes and comes back."""

    def __init__(self, url: str, seconds: float, tell: Tell | None = None) -> None:
        """`tell` hears what the log says: an event and a sentence for a person."""
        parts = urlsplit(url)
        self._tell = tell or (lambda _event, _message: None)
        self.address = f"{parts.hostname}:{parts.port or 6379}"  # the URL may hold a password
        self.seconds = seconds
        self._gone_since: float | None = None

    def limit(self, *, full: bool) -> float:
        """Seconds for which the server may be full, or gone."""
        return self.seconds * (_FULL_FACTOR if full else 1)

    def unavailable(self, error: Exception, *, full: bool) -> BufferUnavailable:
        """What is raised once patience has run out."""
        limit = f"for {self.limit(full=full):g} s: {error}"
        if not full:
            return BufferUnavailable(f"buffer: {self.address} not reachable {limit}")
        return BufferUnavailable(
            f"buffer: {self.address} full {limit}; give it more memory (spec.buffer.memory, or "
            "maxmemory of your own server), or have less generated ahead "
            "(spec.schedule.maxStaleness)"
        )

    def attempts(self) -> "Attempts":
        """The attempts at one request."""
        return Attempts(self)

    def gone(self, error: exceptions.RedisError) -> None:
        """An attempt failed."""
        if self._gone_since is None:
            self._gone_since = time.monotonic()
            full = is_full(error)
            event, state = ("buffer.full", "full") if full else ("buffer.unreachable", "away")
            log.warning(event, address=self.address, error=str(error))
            limit = self.limit(full=full)
            self._tell(event, f"the buffer {self.address} is {state}: {error}; waits {limit:g} s")

    def back(self) -> None:
        """An attempt succeeded."""
        if self._gone_since is not None:
            seconds = round(time.monotonic() - self._gone_since, 1)
            self._gone_since = None
            log.info("buffer.back", address=self.address, after_seconds=seconds)
            self._tell("buffer.back", f"the buffer {self.address} is back after {seconds:g} s")


class Attempts:
    """Attempts at one request; patience is counted from its first failure."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._deadline: float | None = None
        self._full = False
        self._delay = FIRST_DELAY

    def failed(self, error: exceptions.RedisError) -> float:
        """Seconds to wait before the next attempt.

        BufferUnavailable when patience has run out; UsageError for what only the user can mend;
        `error` itself when repeating the request cannot help.
        """
        address = self._patience.address
        if isinstance(error, exceptions.AuthenticationError | exceptions.NoPermissionError):
            raise UsageError(f"buffer: {address} refuses this user or password: {error}") from error
        if isinstance(error, exceptions.MovedError):
            raise UsageError(
                f"buffer: {address} is a node of a cluster that keeps this job's keys elsewhere: "
                f"{error}; give the address of that node, or a server that is no cluster"
            ) from error
        if not is_passing(error):
            raise error
        self._patience.gone(error)
        now = time.monotonic()
        if self._deadline is None or self._full != is_full(error):
            self._full = is_full(error)
            self._deadline = now + self._patience.limit(full=self._full)
        if now >= self._deadline:
            raise self._patience.unavailable(error, full=self._full) from error
        # Jitter: all workers see the server come back at the same moment.
        delay = min(self._delay * random.uniform(0.5, 1.0), self._deadline - now)  # noqa: S311
        self._delay = min(2 * self._delay, LAST_DELAY)
        return delay

    def succeeded(self) -> None:
        """The request was answered."""
        self._patience.back()
