"""Ports for the roles of one run."""

import random
import socket
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from rljob.errors import UsageError

_FIRST = 10_000
_ATTEMPTS = 1_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_DEFAULT_EPHEMERAL = 32_768  # of Linux


def free_ports(host: str, count: int, *, besides: Iterable[int] = ()) -> list[int]:
    """Distinct ports of `host` on which nothing listens.

    They are below the ephemeral range, so that no outgoing connection of another process can take
    one before its role listens on it.

    Raises:
        UsageError: there are not that many.
    """
    numbers = random.SystemRandom()
    chosen: list[int] = []
    taken = set(besides)
    with ExitStack() as probes:
        for _ in range(_ATTEMPTS):
            if len(chosen) == count:
                return chosen
            port = numbers.randrange(_FIRST, _ephemeral_start())
            probe = probes.enter_context(socket.socket())
            if port in taken or not _bind(probe, host, port):
                continue
            taken.add(port)
            chosen.append(port)
    raise UsageError(f"{host}: found {len(chosen)} free ports, needed {count}")


def check_free(host: str, port: int, option: str) -> None:
    """Raise UsageError if something listens on the port that the user chose."""
    with socket.socket() as probe:
        if not _bind(probe, host, port):
            raise UsageError(f"{option}: port {port} of {host} is already in use")


def _bind(probe: socket.socket, host: str, port: int) -> bool:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
    try:
        probe.bind((host, port))
    except OSError:
        return False
    return True


def _ephemeral_start() -> int:
    try:
        start = int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        start = _DEFAULT_EPHEMERAL
    return start if start > 2 * _FIRST else _DEFAULT_EPHEMERAL
