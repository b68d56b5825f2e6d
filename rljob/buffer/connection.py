"""How both clients reach the server: options, and what they do while it cannot be reached."""

import random
import time
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
_PASSING_PREFIXES = ("MISCONF", "NOREPLICAS", "UNBLOCKED")  # those without a class of their own

log = structlog.get_logger()


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

    def __init__(self, url: str, seconds: float) -> None:
        parts = urlsplit(url)
        self.address = f"{parts.hostname}:{parts.port or 6379}"  # the URL may hold a password
        self.seconds = seconds
        self._gone_since: float | None = None

    def attempts(self) -> "Attempts":
        """The attempts at one request."""
        return Attempts(self)

    def gone(self, error: Exception) -> None:
        """An attempt failed."""
        if self._gone_since is None:
            self._gone_since = time.monotonic()
            log.warning("buffer.unreachable", address=self.address, error=str(error))

    def back(self) -> None:
        """An attempt succeeded."""
        if self._gone_since is not None:
            seconds = round(time.monotonic() - self._gone_since, 1)
            self._gone_since = None
            log.info("buffer.back", address=self.address, after_seconds=seconds)


class Attempts:
    """Attempts at one request; patience is counted from its first failure."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._deadline: float | None = None
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
        if not (isinstance(error, _PASSING) or str(error).startswith(_PASSING_PREFIXES)):
            raise error
        self._patience.gone(error)
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self._patience.seconds
        if now >= self._deadline:
            raise BufferUnavailable(
                f"buffer: {address} not reachable for {self._patience.seconds:g} s: {error}"
            ) from error
        # Jitter: all workers see the server come back at the same moment.
        delay = min(self._delay * random.uniform(0.5, 1.0), self._deadline - now)  # noqa: S311
        self._delay = min(2 * self._delay, LAST_DELAY)
        return delay

    def succeeded(self) -> None:
        """The request was answered."""
        self._patience.back()
