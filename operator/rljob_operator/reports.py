"""Polls the trainers' reports: /status of each job's first trainer pod."""

import asyncio
import contextlib
import heapq
import time
from collections.abc import Callable
from datetime import UTC, datetime

import aiohttp
import msgspec
import structlog

from rljob_operator import names
from rljob_operator.observed import Observed, Report
from rljob_operator.watch import UNREACHABLE

log = structlog.get_logger()
INTERVAL = 5.0  # s between two reads of a trainer
MOST_PER_SECOND = 40  # reads of all trainers; with more than 200 trainers the interval grows
_TIMEOUT = aiohttp.ClientTimeout(total=5)
_LONGEST_PAUSE = 60.0  # s between two attempts at a trainer that does not answer
_FORGOTTEN = 3  # failures in a row, after which the last report is dropped
_LARGEST = 2**20  # bytes


class Reports:
    """Polls the trainers of the jobs that it follows."""

    def __init__(self, changed: Callable[[str], None]) -> None:
        """
        Args:
            changed: called with the key of a job whose report has changed.
        """
        self._changed = changed
        self._addresses: dict[str, str] = {}
        self._turns: dict[str, int] = {}  # number of the valid entry in `_due`, by key
        self._last_turn = 0
        self._found: dict[str, Report] = {}
        self._failures: dict[str, int] = {}
        self._due: list[tuple[float, str, int]] = []  # heap of time, key and number
        self._wake = asyncio.Event()

    def of(self, key: str) -> Report | None:
        """A job's last report; None: it has no trainer pod, or it has not answered."""
        return self._found.get(key)

    def follow(self, key: str, observed: Observed | None) -> None:
        """Start or stop polling a job's trainer, depending on its first pod."""
        address = _address(observed)
        if address == self._addresses.get(key):
            return
        for memory in (self._addresses, self._turns, self._found, self._failures):
            memory.pop(key, None)
        if address is not None:
            self._addresses[key] = address
            self._again(key, 0.0)

    async def run(self) -> None:
        """Poll the trainers; never returns."""
        connector = aiohttp.TCPConnector(limit=MOST_PER_SECOND)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session,
            asyncio.TaskGroup() as group,
        ):
            while True:
                now = time.monotonic()
                if not self._due or self._due[0][0] > now:
                    self._wake.clear()
                    pause = self._due[0][0] - now if self._due else None
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), pause)
                    continue
                _, key, turn = heapq.heappop(self._due)
                if self._turns.get(key) == turn:
                    group.create_task(self._read(session, key, self._addresses[key]))
                    await asyncio.sleep(1 / MOST_PER_SECOND)

    async def _read(self, session: aiohttp.ClientSession, key: str, address: str) -> None:
        try:
            async with session.get(f"http://{address}:{names.METRICS_PORT}/status") as reply:
                reply.raise_for_status()
                body = msgspec.json.decode(await _content(reply), type=dict)
        except (*UNREACHABLE, msgspec.MsgspecError) as error:
            self._failed(key, address, error)
            return
        if self._addresses.get(key) != address:
            return
        last = self._found.get(key)
        self._found[key] = Report(datetime.now(UTC), body)
        self._failures.pop(key, None)
        self._again(key, self._at_least(INTERVAL))
        if last is None or last.body != body:
            self._changed(key)

    def _failed(self, key: str, address: str, error: Exception) -> None:
        if self._addresses.get(key) != address:
            return
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(_LONGEST_PAUSE, INTERVAL * 2.0 ** min(failures - 1, 8))
        self._again(key, self._at_least(pause))
        if failures == _FORGOTTEN:
            log.warning("report.missing", job=key, error=f"{type(error).__name__}: {error}")
            if self._found.pop(key, None) is not None:
                self._changed(key)

    def _at_least(self, pause: float) -> float:
        return max(pause, len(self._addresses) / MOST_PER_SECOND)

    def _again(self, key: str, pause: float) -> None:
        # One valid entry per key, however often a pod is replaced.
        self._last_turn += 1
        self._turns[key] = self._last_turn
        heapq.heappush(self._due, (time.monotonic() + pause, key, self._last_turn))
        self._wake.set()  # it may be the first one due


async def _content(reply: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in reply.content.iter_any():
        content += chunk
        if len(content) > _LARGEST:
            raise aiohttp.ClientPayloadError(f"a report of more than {_LARGEST} bytes")
    return bytes(content)


def _address(observed: Observed | None) -> str | None:
    """The address of the first trainer pod if it is ready, formatted for a URL."""
    if observed is None:
        return None
    name = f"{observed.manifest['metadata']['name']}-trainer-0"
    for pod in observed.pods:
        if pod.name == name and pod.ready and not pod.deleting and pod.ip:
            return f"[{pod.ip}]" if ":" in pod.ip else pod.ip
    return None
