"""Calls several engines at once, without letting one hold up the others for long."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from rljob.buffer.records import Engine
from rljob_trainer.weights.engine import EngineFailedError

T = TypeVar("T")

# Whether an engine is still registered.
Liveness = Callable[[Engine], bool]

_LOOK_SECONDS = 0.25
_GRACE_SECONDS = 1.0  # for an engine to report itself why a joint operation has failed


async def together(
    calls: Mapping["asyncio.Task[None]", Engine],
    beside: Coroutine[Any, Any, T],
    *,
    is_live: Liveness,
    timeout: float,
) -> T:
    """Waits for the calls and for this process's own part; returns the result of that part.

    Args:
        calls: one to each engine, in progress.
        beside: this process's part; may fail with RuntimeError, as torch does if an engine aborts.
        is_live: asked about engines that have not answered.
        timeout: in seconds.

    Raises:
        EngineFailedError: the first engine that fails, is gone, or does not answer in time.
            Everything else is cancelled.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    own = asyncio.create_task(beside)
    pending: set[asyncio.Task[Any]] = {*calls, own}
    try:
        while pending:
            done, pending = await asyncio.wait(
                pending, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            # Calls first: if one failed, that is why this process's part fails.
            for task in sorted(done, key=lambda task: task is own):
                try:
                    task.result()
                except RuntimeError as error:
                    raise await _culprit(calls, f"aborted: {error}") from error
            late = [calls[task] for task in pending if task in calls]
            for engine in late:
                if not is_live(engine):
                    raise EngineFailedError(engine, "it is gone")
            if pending and asyncio.get_running_loop().time() > deadline:
                suspect = late[0] if late else next(iter(calls.values()))
                raise EngineFailedError(suspect, f"did not take part within {timeout:g} s")
        return own.result()
    finally:
        for task in (*calls, own):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*calls, own, return_exceptions=True)


async def _culprit(calls: Mapping["asyncio.Task[None]", Engine], reason: str) -> EngineFailedError:
    """The engine to blame when a joint operation fails: one whose call failed, if any."""
    done, late = await asyncio.wait(calls, timeout=_GRACE_SECONDS)
    for call in done:
        error = call.exception()
        if isinstance(error, EngineFailedError):
            return error
    suspect = next(iter(late), None) or next(iter(calls))
    return EngineFailedError(calls[suspect], reason)
