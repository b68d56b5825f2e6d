"""A process that plays episodes by the user's generate function.

Run as `python -m rljob_rollout.episodes.host SOCKET TRACE`, two file descriptors: it takes orders
from the socket and answers there, a JSON object per line. The user's code may block, take all
memory or end the process, so a worker has several, and replaces one that is lost. If it blocks,
also in C code that holds the interpreter, the process writes to TRACE where, and ends.
"""

import asyncio
import faulthandler
import importlib
import inspect
import json
import math
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import aiohttp

from rljob.slime.signature import is_slime_hook
from rljob.telemetry import lifeline, log
from rljob_rollout.generate import Context, Engine, LimitReachedError, Sample
from rljob_rollout.memory_limit import OUT_OF_MEMORY, data_bytes, limit_memory
from rljob_rollout.slime import modules
from rljob_rollout.slime.generate import RefusedReturnError, Returned, SlimeGenerate

BEAT_SECONDS = 1.0
_KEEP_ALIVE_SECONDS = 2.0  # less than the gateway's
EPISODE = "episode_"  # with its number, the name of an episode's frame


class Host:
    """Plays what it is ordered to play, all at the same time."""

    def __init__(
        self, connection: socket.socket, trace: TextIO, function: Callable[..., Any]
    ) -> None:
        self._connection = connection
        self._trace = trace
        self._function = function
        self._playing: dict[int, asyncio.Task[None]] = {}
        self._slots: dict[str, asyncio.Semaphore] = {}

    async def run(self, block_seconds: float) -> None:
        """Plays until the connection ends."""
        # One for all episodes, each of which has a time limit.
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        reader, _ = await asyncio.open_connection(sock=self._connection.dup(), limit=1 << 28)
        beating = asyncio.create_task(self._beats(block_seconds))
        while line := await reader.readline():
            order = json.loads(line)
            number = order["number"]
            if "cancel" in order:
                if number in self._playing:
                    self._playing[number].cancel()
                continue
            task = asyncio.create_task(self._play(number, order), name=str(number))
            self._playing[number] = task
            task.add_done_callback(lambda task: self._playing.pop(int(task.get_name()), None))
        beating.cancel()
        await self._client.close()

    def send(self, message: Mapping[str, Any]) -> None:
        """Sends a line."""
        self._connection.sendall(json.dumps(message).encode() + b"\n")

    async def _play(self, number: int, order: dict[str, Any]) -> None:
        sample = Sample(**order["sample"])
        seconds = order["context"].pop("seconds")
        engine = Engine(self._client, order["url"], order["context"]["api_key"])
        context = Context(
            **order["context"],
            deadline=time.monotonic() + seconds,
            random=random.Random(sample.seed),  # noqa: S311 - for the user's own choices
            _slots=self._slots,
        )
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                result = await _named(self._function, number)(sample, engine, context)
            answer = _answer(result)
        except asyncio.CancelledError:
            return
        except LimitReachedError:
            answer = {"result": {}}
        except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
            if isinstance(error, TimeoutError) and limit.expired():
                answer = {"result": {}, "out_of_time": True}
            else:
                answer = {"failure": _what(error)}
            if isinstance(error, MemoryError):
                # Leftovers of the attempt may still hold the memory, so a new process is needed.
                self.send({"culprit": number})
                os._exit(OUT_OF_MEMORY)
        self.send({"number": number, **answer})

    async def _beats(self, block_seconds: float) -> None:
        while True:
            # The interpreter's own watchdog, which needs no lock of it; set anew with each beat.
            faulthandler.dump_traceback_later(block_seconds, exit=True, file=self._trace)
            self.send({"beat": True})
            await asyncio.sleep(min(BEAT_SECONDS, block_seconds / 2))


def _named(function: Callable[..., Any], number: int) -> Callable[..., Any]:
    """The function, below a frame that tells in a traceback which episode it plays."""

    async def episode(sample: Sample, engine: Engine, context: Context) -> Any:
        return await function(sample, engine, context)

    episode.__code__ = episode.__code__.replace(co_name=f"{EPISODE}{number}")
    return episode


def _answer(result: Any) -> dict[str, Any]:
    if isinstance(result, Returned):
        returned = {"trajectories": result.trajectories, "truncated": result.truncated}
        return {**_checked(result.value), "returned": returned}
    return _checked(result)


def _checked(result: Any) -> dict[str, Any]:
    """The answer for what a function returned."""
    if result is None:
        return {"result": {}}
    if isinstance(result, int | float) and not isinstance(result, bool):
        result = {"reward": result}
    allowed = 'allowed: None, a number, or a dict with "reward", "response" and JSON values'
    if not isinstance(result, Mapping):
        return {"failure": f"returned {result!r:.200}; {allowed}"}
    reward, response = result.get("reward"), result.get("response")
    try:
        number = None if reward is None else float(reward)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(reward, str) or (number is not None and not math.isfinite(number)):
        return {"failure": f"returned the reward {reward!r:.200}; allowed: a finite number"}
    if response is not None and not isinstance(response, str):
        return {"failure": f"returned the response {response!r:.200}; allowed: a text"}
    rest = {str(key): value for key, value in result.items() if key not in ("reward", "response")}
    try:
        json.dumps(rest)
    except (TypeError, ValueError, RecursionError) as error:
        return {"failure": f"returned {result!r:.200}: {error}; {allowed}"}
    return {"result": {"reward": number, "response": response, "metadata": rest}}


def _what(error: BaseException) -> str:
    if isinstance(error, RefusedReturnError):
        return str(error)
    if isinstance(error, SystemExit):
        return f"called sys.exit({'' if error.code is None else repr(error.code)})"
    return f"raised {type(error).__name__}: {error}"


def load(hook: str) -> tuple[Callable[..., Any] | None, str]:
    """The function of a hook "module:function"; or None, and what is wrong."""
    module, _, name = hook.partition(":")
    try:
        imported = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the module is the user's code
        return None, (
            f"the module {module!r} does not import: {type(error).__name__}: {error}; allowed: a "
            "module on PYTHONPATH or in spec.code.directory"
        )
    function = getattr(imported, name, None)
    if not inspect.iscoroutinefunction(function):
        found = "nothing" if function is None else f"a {type(function).__name__}, not async"
        return None, (
            f"{name!r} in {imported.__file__} is {found}; allowed: "
            "async def (sample, engine, context), or slime's async def (args, sample, "
            "sampling_params)"
        )
    return function, ""


def main(descriptor: int, trace: int) -> None:
    """Plays until the worker closes the connection or ends."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lifeline.end_with_parent(signal.SIGKILL)
    connection = socket.socket(fileno=descriptor)
    with connection.makefile("rb") as lines:
        settings = json.loads(lines.readline())
    log.configure("rollout", settings["replica"])
    modules.install()
    function, wrong = load(settings["hook"])
    if function is None:
        connection.sendall(json.dumps({"unusable": wrong}).encode() + b"\n")
        return
    if is_slime_hook(function):
        function = SlimeGenerate(function, settings["arguments"])
    limit_memory(data_bytes() + settings["memory"])
    host = Host(connection, os.fdopen(trace, "w"), function)
    host.send({"ready": True})
    asyncio.run(host.run(settings["block_seconds"]))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
