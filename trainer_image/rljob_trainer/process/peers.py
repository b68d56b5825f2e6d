"""Coordinates the trainer's pods: they start, stop and fail together.

Ranks wait for each other in collectives, where they see neither a signal nor, for a long time, that
a machine is gone. So the launchers watch each other through a store in the first pod:

- No launcher starts its ranks before all launchers are there.
- A stop request to one stops all: the ranks can only save a checkpoint together.
- If one has failed, or was not heard from for a minute, the ranks of all are ended.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType

import structlog
from torch.distributed import DistError, TCPStore  # type: ignore[attr-defined]
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from rljob.telemetry.role import write_reason

log = structlog.get_logger()

_LOOK_SECONDS = 0.5
_CONNECT_SECONDS = 5.0  # a signal is noticed between two attempts
_LISTEN_SECONDS = 60.0  # for the first pod to bind the port, which an earlier process may hold
_LOST_SECONDS = 60.0  # without a heartbeat
_LAST_WORDS_SECONDS = 5.0  # for ranks to fail by themselves: their error says more
_BLAME_SECONDS = 2.0  # for a pod whose rank was killed to report it
_END_SECONDS = 30.0  # for this process, once its ranks are gone
_PEERS_SIGNAL = signal.SIGUSR1  # this process sends it to itself when another pod stops
# Keys of the store, with the number of a pod as their value.
_STARTED, _STOPPED, _LOST = "started", "stopped", "lost"
_FIRST, _KILLED = "failed/first", "failed/killed"
_FAILURES = "failures"  # how many pods have failed


class Peers:
    """One launcher's view of the others; with a single pod it only handles signals."""

    def __init__(self, endpoint: str, replica: int, replicas: int) -> None:
        """
        Args:
            endpoint: host:port in the first pod, where torchrun's agents also meet.
            replica: number of this pod, from 0.
            replicas: the number of pods.
        """
        host, _, port = endpoint.rpartition(":")
        self._host, self._port = host, int(port)
        self._replica = replica
        self._others = [number for number in range(replicas) if number != replica]
        self._store: TCPStore | None = None
        self._over = threading.Event()
        self._stopping = False  # no lock: the handler interrupts the main thread anywhere
        self.ended_by: str | None = None  # what happened to the pod that ended these ranks
        self._has_ended_ranks = False

    def listen(self) -> None:
        """Makes SIGTERM and SIGINT raise SignalException, once. Main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT, _PEERS_SIGNAL):
            signal.signal(number, self._on_signal)

    def meet(self) -> None:
        """Waits until the launchers of all pods are there."""
        if not self._others:
            return
        log.info("peers.waiting", pods=self._others)
        store = self._store = self._join()
        store.set_timeout(timedelta(seconds=_LOST_SECONDS))
        try:
            while not store.check([_joined(number) for number in self._others]):
                time.sleep(_LOOK_SECONDS)
        except SignalException:
            store.delete_key(_joined(self._replica))
            raise
        store.set(_STARTED, str(self._replica))
        log.info("peers.met")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watches the other pods while the ranks run, and tells them how that ended."""
        if self._store is None:
            yield
            return
        threading.Thread(target=self._watch, args=(self._store,), daemon=True).start()
        word = _LOST
        try:
            yield
            word = _left(self._replica)
        except SignalException:
            word = _left(self._replica)
            raise
        except ChildFailedError as error:
            self._over.set()
            killed = any(failure.exitcode < 0 for failure in error.failures.values())
            self._blame(self._store, killed=killed and not self._has_ended_ranks)
            raise
        finally:
            self._over.set()
            with suppress(DistError):  # the first pod is gone, so there is nobody to tell
                self._store.set(word, str(self._replica))

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number != _PEERS_SIGNAL:
            self.ended_by = None  # the pod itself is to end
        if not self._stopping:
            self._stopping = True
            told = signal.SIGTERM if number == _PEERS_SIGNAL else signal.Signals(number)
            raise SignalException(f"got signal {number}", told)

    def _join(self) -> TCPStore:
        """Joins the store, but never that of earlier ranks that are about to end."""
        while True:
            store = self._connect()
            if not store.check([_STARTED]):
                store.set(_joined(self._replica), "")
                return store
            if store.check([_joined(self._replica)]) and not store.check([_STOPPED]):
                # This pod was there before and ended without telling the others.
                store.set(_LOST, str(self._replica))
            del store
            time.sleep(_LOOK_SECONDS)

    def _connect(self) -> TCPStore:
        deadline = time.monotonic() + _LISTEN_SECONDS
        while True:
            try:
                return TCPStore(
                    self._host,
                    self._port,
                    is_master=self._replica == 0,
                    timeout=timedelta(seconds=_CONNECT_SECONDS),
                    wait_for_workers=False,
                    multi_tenant=True,  # torchrun's agent has its store at this port, too
                )
            except DistError:
                if self._replica == 0 and time.monotonic() > deadline:
                    raise
                time.sleep(_LOOK_SECONDS)

    def _watch(self, store: TCPStore) -> None:
        heard = {number: (-1, time.monotonic()) for number in self._others}
        while not self._over.wait(_LOOK_SECONDS):
            try:
                store.add(_alive(self._replica), 1)
                if self._stopping:
                    store.set(_STOPPED, str(self._replica))
                elif store.check([_STOPPED]):
                    pod = store.get(_STOPPED).decode()
                    log.info("peers.stopped", pod=pod)
                    self.ended_by = f"the trainer's pod {pod} was stopped"
                    os.kill(os.getpid(), _PEERS_SIGNAL)
                if self._replica == 0:
                    self._listen_to_others(store, heard)
                lost = store.get(_LOST).decode() if store.check([_LOST]) else None
            except DistError:
                lost = None if self._stopping else "0"
            if lost is not None:
                self._end(_lost(lost))
                return

    def _listen_to_others(self, store: TCPStore, heard: dict[int, tuple[int, float]]) -> None:
        """Reports a lost pod; `heard` has each pod's last heartbeat and when it came."""
        for number in self._others:
            beat = store.add(_alive(number), 0)
            if beat != heard[number][0] or store.check([_left(number)]):
                heard[number] = (beat, time.monotonic())
            elif time.monotonic() - heard[number][1] > _LOST_SECONDS:
                store.set(_LOST, str(number))

    def _blame(self, store: TCPStore, *, killed: bool) -> None:
        """Finds the pod that failed first: ranks fail soon after a rank they are connected to.

        Args:
            store: the launchers' store.
            killed: whether a signal ended a rank of this pod. Then the cause is in this pod.
        """
        try:
            if store.add(_FAILURES, 1) == 1:
                store.set(_FIRST, str(self._replica))
            if killed:
                store.set(_KILLED, str(self._replica))
                self.ended_by = None
                return
            deadline = time.monotonic() + _BLAME_SECONDS
            while not store.check([_KILLED]) and time.monotonic() < deadline:
                time.sleep(_BLAME_SECONDS / 20)
            pod = store.get(_KILLED if store.check([_KILLED]) else _FIRST).decode()
        except DistError:  # the first pod has gone with its store
            pod = "0"
        if pod != str(self._replica):
            self.ended_by = _lost(pod)

    def _end(self, reason: str) -> None:
        """Ends the ranks and, if that does not end it, this process."""
        self.ended_by = reason
        if self._over.wait(_LAST_WORDS_SECONDS):
            return
        log.error("peers.lost", message=reason)
        self._has_ended_ranks = True
        for pid in _children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not self._over.wait(_END_SECONDS):
            write_reason(reason)
            os._exit(1)


def _lost(pod: str) -> str:
    return f"the trainer's pod {pod} has ended, or does not answer"


def _joined(replica: int) -> str:
    return f"joined/{replica}"


def _alive(replica: int) -> str:
    return f"alive/{replica}"


def _left(replica: int) -> str:
    return f"left/{replica}"


def _children() -> list[int]:
    """The child processes of this one, which are its ranks."""
    tasks = Path("/proc/self/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]
