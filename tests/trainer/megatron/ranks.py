"""Runs functions on one rank or several, with new process groups for each call."""

import gc
import multiprocessing
import os
import pickle
import socket
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any
from unittest import mock

# One of megatron-core's groups outlives each call, with threads of gloo that never rest.
_MOST_CALLS = 40


def alone(function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function in this process, as the only rank."""
    return _call(0, 1, _free_port(), function, args)


class Ranks:
    """Processes that stay, as importing torch and megatron-core takes longer than most tests."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._calls = 0
        self._connections: list[Connection] = []
        self._processes = []
        for rank in range(self._size):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there, rank, self._size), daemon=True)
            process.start()
            self._connections.append(here)
            self._processes.append(process)

    def run(self, function: Callable[..., Any], *args: Any) -> Sequence[Any]:
        """Calls a function on every rank; gives what it returns on each."""
        if self._calls == _MOST_CALLS:
            self.close()
            self._start()
        self._calls += 1
        order = pickle.dumps((_free_port(), function, args))
        for connection in self._connections:
            connection.send_bytes(order)
        answers = [pickle.loads(connection.recv_bytes()) for connection in self._connections]
        failures = [failure for _, failure in answers if failure]
        assert not failures, "\n".join(failures)
        return [result for result, _ in answers]

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.join()


def _serve(connection: Connection, rank: int, size: int) -> None:
    while True:
        port, function, args = pickle.loads(connection.recv_bytes())
        try:
            answer = (_call(rank, size, port, function, args), None)
        except Exception:  # noqa: BLE001  (told to the test, which fails by it)
            answer = (None, traceback.format_exc())
        connection.send_bytes(pickle.dumps(answer))


def _call(rank: int, size: int, port: int, function: Callable[..., Any], args: Any) -> Any:
    variables = {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    # A process that another test starts must not take itself for a rank.
    with mock.patch.dict(os.environ, variables):
        import torch

        torch.set_num_threads(1)
        try:
            return function(*args)
        finally:
            import torch.distributed as dist
            from megatron.core import parallel_state

            parallel_state.destroy_model_parallel()
            if dist.is_initialized():
                dist.destroy_process_group()
            gc.collect()  # groups that only a cycle of references keeps


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
