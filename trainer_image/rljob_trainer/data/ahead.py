"""Reading ahead: processes that compute results before they are needed."""

import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")

DEPTH = 16  # results that each process computes ahead
_END_SECONDS = 10.0  # for a process to exit once its pipe is closed


class ReadAhead(Generic[T]):
    """Calls a function with 0, 1, 2, ... in other processes, before the results are needed.

    Numbers are dealt to the processes round-robin, so results arrive in order and need no sorting.
    Each process is a separate interpreter that knows only what the trainer sends it, and nothing of
    its devices. It exits when its connection closes, however the trainer ended.
    """

    def __init__(self, function: Callable[[int], T], workers: int) -> None:
        """Starts `workers` processes with a copy of `function`, which is pickled."""
        self._next = 0  # the number whose result is returned next
        self._asked = 0  # the first number that no process was asked for
        self._workers = [_Worker() for _ in range(workers)]
        for worker in self._workers:
            worker.hand(function)

    def get(self, number: int) -> T:
        """Returns the result for `number`; the following ones are computed in the background.

        Raises:
            UsageError: the function raised it for this number.
            RuntimeError: the function raised something else, or a process has died.
        """
        while self._next < self._asked and self._next != number:
            self._receive()  # an unexpected number was asked for: start again from it
        if self._next != number:
            self._next = self._asked = number
        while self._asked < number + DEPTH * len(self._workers):
            self._worker(self._asked).ask(self._asked)
            self._asked += 1
        result = self._receive()
        if isinstance(result, Exception):
            raise result
        return cast(T, result)

    def close(self) -> None:
        """Ends the processes."""
        for worker in self._workers:
            worker.hang_up()
        for worker in self._workers:
            worker.wait()

    def _worker(self, number: int) -> "_Worker":
        return self._workers[number % len(self._workers)]

    def _receive(self) -> Any:
        result = self._worker(self._next).answer()
        self._next += 1
        return result


class _Worker:
    """One process running `rljob_trainer.data.worker`, and the connection to it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        # Not multiprocessing: its processes import the trainer's main module, and torch with it.
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "rljob_trainer.data.worker",
                    str(theirs.fileno()),
                    str(os.getpid()),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": "1",
                    "TOKENIZERS_PARALLELISM": "false",
                    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",  # about the missing torch
                },
            )
        self._line = Connection(ours.detach())

    def hand(self, function: Callable[[int], object]) -> None:
        self._tell(pickle.dumps(function))

    def ask(self, number: int) -> None:
        self._tell(pickle.dumps(number))

    def answer(self) -> Any:
        try:
            return self._line.recv()
        except (EOFError, OSError) as error:
            raise self._died() from error

    def hang_up(self) -> None:
        self._line.close()

    def wait(self) -> None:
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tell(self, message: bytes) -> None:
        try:
            self._line.send_bytes(message)
        except OSError as error:
            raise self._died() from error

    def _died(self) -> RuntimeError:
        return RuntimeError(
            f"a data worker (spec.trainer.dataWorkers) ended with code {self._process.wait()}"
        )
