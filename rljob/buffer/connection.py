"""Connection options of both clients, and their retries while the server is unavailable."""

import random
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import structlog
from redis import exceptions

from rljob.errors import UsageError

# A server that does not answer within this time counts as unreachable. Seconds.
SOCKET_TIMEOUT = 5.0
# Longest blocking read, well within the socket timeout, so that a frozen server can be told apart
# from one that has no data. Seconds.
BLOCK = 2.0
# A reply holds at most this many bytes of records, or one record: it must be transferred within the
# socket timeout.
REPLY_BYTES = 64 * 2**20
# Clients wait this many times longer for a full server than for an unreachable one: it has room
# again once the trainer collects.
_FULL_FACTOR = 10
# Back-off between attempts, in seconds: doubled from the first up to the last.
FIRST_DELAY, LAST_DELAY = 0.05, 2.0

# Temporary errors of a server that is up: it loads its data, fails over, is full, or cannot write
# to its disk.
_PASSING = (
    exceptions.ConnectionError,  # includes a server that still loads its data
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
    exceptions.NoScriptError,  # restarted between the loading of a script and its call
)
_PASSING_CODES = {  # those without their own class, and all within scripts of Redis 6.2
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
# In a pipeline, redis-py prefixes the error with the command, and quotes it.
_OF_A_PIPELINE = re.compile(r"Command # \d+ .* of pipeline caused error: [('\"]*", re.DOTALL)
# Redis up to 6.2 wraps the error of a command inside a script:
# "Error running script (call to f_...): @user_script:1: @user_script: 1: -OOM command not allowed".
_WRAPPED = re.compile(r"Error running script .*?: -?([A-Z]+) ", re.DOTALL)

Tell = Callable[[str, str], None]

log = structlog.get_logger()


def code(error: exceptions.RedisError) -> str:
    """The error code, the first word of the server's answer, e.g. MISCONF.

    redis-py removes it if it has a class for the error, as for OOM outside of scripts.
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


class BufferUnavailable(Exception):  # noqa: N818 - a state of the server, not a bug
    """The server was unavailable for longer than the client waits."""


def options(name: str, password: str | None) -> dict[str, Any]:
    """Options of a redis client that appears as `name` in the server's CLIENT LIST."""
    return {
        "client_name": name,
        "socket_timeout": SOCKET_TIMEOUT,
        "socket_connect_timeout": SOCKET_TIMEOUT,
        "socket_keepalive": True,
        "protocol": 2,  # the same form of replies with old and new servers and clients
    } | ({} if password is None else {"password": password})


def block_milliseconds(seconds: float) -> int | None:
    """BLOCK for a read that waits at most `seconds`; BLOCK 0 would wait forever."""
    return max(1, int(seconds * 1000)) if seconds > 0 else None


class Patience:
    """Retry limit of one client; logs once when the server becomes unavailable or is back."""

    def __init__(self, url: str, seconds: float, tell: Tell | None = None) -> None:
        """`tell` gets what is logged: an event, and a human-readable sentence."""
        parts = urlsplit(url)
        self._tell = tell or (lambda _event, _message: None)
        self.address = f"{parts.hostname}:{parts.port or 6379}"  # the URL may hold a password
        self.seconds = seconds
        self._gone_since: float | None = None

    def limit(self, *, full: bool) -> float:
        """Seconds to wait for a server that is full, or unreachable."""
        return self.seconds * (_FULL_FACTOR if full else 1)

    def unavailable(self, error: Exception, *, full: bool) -> BufferUnavailable:
        """The error to raise once the limit is exceeded."""
        limit = f"for {self.limit(full=full):g} s: {error}"
        if not full:
            return BufferUnavailable(f"buffer: {self.address} not reachable {limit}")
        return BufferUnavailable(
            f"buffer: {self.address} full {limit}; give it more memory (spec.buffer.memory, or "
            "maxmemory of your own server), or generate less ahead of training "
            "(spec.schedule.maxStaleness)"
        )

    def attempts(self) -> "Attempts":
        """Start the attempts of one request."""
        return Attempts(self)

    def gone(self, error: exceptions.RedisError) -> None:
        """Note that an attempt failed."""
        if self._gone_since is None:
            self._gone_since = time.monotonic()
            full = is_full(error)
            event = "buffer.full" if full else "buffer.unreachable"
            state = "full" if full else "unreachable"
            log.warning(event, address=self.address, error=str(error))
            limit = self.limit(full=full)
            message = f"the buffer {self.address} is {state}: {error}; retrying for {limit:g} s"
            self._tell(event, message)

    def back(self) -> None:
        """Note that an attempt succeeded."""
        if self._gone_since is not None:
            seconds = round(time.monotonic() - self._gone_since, 1)
            self._gone_since = None
            log.info("buffer.back", address=self.address, after_seconds=seconds)
            self._tell("buffer.back", f"the buffer {self.address} is back after {seconds:g} s")


class Attempts:
    """Attempts of one request; the limit counts from its first failure."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._deadline: float | None = None
        self._full = False
        self._delay = FIRST_DELAY

    def failed(self, error: exceptions.RedisError) -> float:
        """Seconds to wait before the next attempt.

        Raises BufferUnavailable once the limit is exceeded, UsageError for what only the user can
        fix, and `error` itself if a retry cannot help.
        """
        address = self._patience.address
        if isinstance(error, exceptions.AuthenticationError | exceptions.NoPermissionError):
            raise UsageError(f"buffer: {address} refuses this user or password: {error}") from error
        if isinstance(error, exceptions.MovedError):
            raise UsageError(
                f"buffer: {address} is a node of a cluster that keeps this job's keys elsewhere: "
                f"{error}; give the address of that node, or a server that is not a cluster"
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
        # Jitter: all workers see the server come back at the same time.
        delay = min(self._delay * random.uniform(0.5, 1.0), self._deadline - now)  # noqa: S311
        self._delay = min(2 * self._delay, LAST_DELAY)
        return delay

    def succeeded(self) -> None:
        """Note that the request succeeded."""
        self._patience.back()
