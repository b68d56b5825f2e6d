"""The buffer role: runs the embedded server until all other roles have disconnected."""

import shutil
import signal
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from rljob.api.quantity import bytes_of
from rljob.buffer import connection
from rljob.buffer.keys import Keys
from rljob.buffer.memory import default_memory
from rljob.buffer.server import Server
from rljob.buffer.trainer import CLIENT_NAME
from rljob.buffer.worker import CLIENT_NAME_PREFIX
from rljob.plan.environment import RoleEnvironment

_LOOK_SECONDS = 0.25  # between two checks of the server and its clients
# Time for the other roles to disconnect, after a stop signal and after the end of the run. The
# scheduler kills 10 s after a stop signal; the server, even a frozen one, stops within the rest of
# that time.
_STOP_SECONDS = 7.0
_FINISH_SECONDS = 10.0

log = structlog.get_logger()


class Watch:
    """The buffer's view of the run and of the other roles."""

    def __init__(self, host: str, port: int, password: str | None, job_key: str) -> None:
        self._phase_key = Keys(job_key)["state"]
        options = connection.options("rljob-buffer", password) | {"socket_timeout": 1.0}
        self._redis: Any = redis.Redis(host=host, port=port, retry=Retry(NoBackoff(), 0), **options)

    def finished(self) -> bool:
        """True once the trainer has finished the run."""
        return bool(self._redis.hget(self._phase_key, "phase") == b"finished")

    def clients(self) -> bool:
        """True while the trainer or a worker is connected."""
        names = [client["name"] for client in self._redis.client_list()]
        return any(n == CLIENT_NAME or n.startswith(CLIENT_NAME_PREFIX) for n in names)


def main(environment: RoleEnvironment) -> int:
    """Run the server until the run ends or a stop signal arrives; returns the exit code."""
    stops: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: stops.append(received))
    host, password = environment.host, environment.buffer_password
    port = urlsplit(environment.buffer_url).port or 6379
    directory = Path(environment.run_dir) / "buffer"
    limit = environment.job().spec.buffer.memory
    memory = default_memory() if limit is None else bytes_of(limit)
    server = Server(host, port, directory, password, memory)
    server.start()
    log.info("buffer.started", host=host, port=port, memory=memory)
    try:
        watch = Watch(host, port, password, environment.job().key)
        finished = _until_the_end(server, watch, stops, linger=environment.linger)
    finally:
        server.stop()
    if finished:
        # The next run in this directory must not find this run's final state.
        shutil.rmtree(directory)
    log.info("buffer.stopped", finished=finished)
    return 0


def _until_the_end(server: Server, watch: Watch, stops: list[int], *, linger: bool) -> bool:
    """Wait until the other roles have disconnected or their time is over; True: run finished.

    With `linger`, it also waits for a stop signal.
    """
    finished, deadline = False, float("inf")
    while True:
        server.check(_LOOK_SECONDS)
        now = time.monotonic()
        if stops:
            deadline = min(deadline, now + _STOP_SECONDS)
        try:
            if not finished and watch.finished():
                finished = True
                if not linger:
                    deadline = min(deadline, now + _FINISH_SECONDS)
            if (stops or (finished and not linger)) and not watch.clients():
                return finished
        except redis.RedisError as error:
            # It is starting, loading its data, or frozen; the clients retry by themselves.
            log.debug("buffer.silent", error=str(error))
        if now >= deadline:
            return finished
