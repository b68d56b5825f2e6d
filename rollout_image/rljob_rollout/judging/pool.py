"""The processes that judge a worker's responses, as the worker sees them."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import structlog
from pebble import ProcessExpired, ProcessFuture, ProcessPool

from rljob.api.reward import RewardSpec
from rljob.errors import UsageError
from rljob_rollout.judging import process
from rljob_rollout.judging.verdict import Failure, Verdict
from rljob_rollout.memory_limit import OUT_OF_MEMORY
from rljob_rollout.rewards import RewardInput

log = structlog.get_logger()

T = TypeVar("T")

_GRACE_SECONDS = 1.0  # for an async function to hit its own time limit first
_POOLS = 3  # how many pools may break during one call


class RewardPool:
    """Judges samples in separate processes; one that fails is replaced."""

    def __init__(
        self,
        rewards: Mapping[str, str],
        processes: int,
        replica: int,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Starts the processes; returns when the first one has loaded every reward.

        Args:
            rewards: the rewards to load, and where the job names each.
            processes: the number of processes.
            replica: the worker's number, for their log lines.
            arguments: the job's under slime's names, for functions written for it.

        Raises:
            UsageError: a reward can't be imported.
        """
        self._processes = processes
        self._arguments = (dict(rewards), os.getpid(), replica, dict(arguments or {}))
        self._pool = self._start()
        try:
            self._asynchronous = {
                type_: self._pool.schedule(process.is_async, args=(type_,)).result()
                for type_ in rewards
            }
        except (BrokenProcessPool, ProcessExpired) as error:
            raise UsageError(
                f"{', '.join(rewards.values())}: found {', '.join(rewards)}, but the process that "
                "imports the modules ended; allowed: modules that can be imported"
            ) from error

    async def is_async(self, type_: str) -> bool:
        """Whether a reward is an async function."""
        if type_ not in self._asynchronous:
            future: ProcessFuture[bool] = self._pool.schedule(process.is_async, args=(type_,))
            self._asynchronous[type_] = await asyncio.wrap_future(future)
        return self._asynchronous[type_]

    async def judge(self, spec: RewardSpec, sample: RewardInput) -> Verdict:
        """The verdict of a plain or an async function on one sample."""
        if await self.is_async(spec.type):
            return (await self.judge_together(spec, [sample]))[0]
        return await self._run(spec, spec.timeout_seconds, process.judge, sample)

    async def judge_together(
        self, spec: RewardSpec, samples: Sequence[RewardInput]
    ) -> list[Verdict]:
        """The verdicts of an async function, which judges all samples concurrently.

        If their process is lost, each sample is judged alone, so only the one that ends it fails.
        """
        limit = spec.timeout_seconds + _GRACE_SECONDS
        found = await self._run(spec, limit, process.judge_together, samples)
        if not isinstance(found, Failure):
            return found
        if len(samples) == 1:
            return [found]
        alone = await asyncio.gather(*(self.judge_together(spec, [each]) for each in samples))
        return [found for (found,) in alone]

    async def judge_group(self, spec: RewardSpec, samples: Sequence[RewardInput]) -> list[Verdict]:
        """The verdicts of a function that judges a group at once; if it fails, of each sample."""
        limit = spec.timeout_seconds + _GRACE_SECONDS
        found = await self._run(spec, limit, process.judge_group, samples)
        return [found] * len(samples) if isinstance(found, Failure) else found

    def close(self) -> None:
        """Kills the processes."""
        _stop(self._pool)

    def _start(self) -> ProcessPool:
        return ProcessPool(
            max_workers=self._processes,
            initializer=process.prepare,
            initargs=self._arguments,
            # Not a fork: this process has running threads.
            context=multiprocessing.get_context("spawn"),
        )

    async def _run(
        self, spec: RewardSpec, limit: float, function: Callable[..., T], samples: Any
    ) -> T | Failure:
        for _ in range(_POOLS):
            pool = self._pool
            try:
                future: ProcessFuture[T] = pool.schedule(
                    function, args=(spec, samples), timeout=limit
                )
            except RuntimeError as error:  # the pool was broken before the call
                await self._replace(pool, error)
                continue
            try:
                return await asyncio.wrap_future(future)
            except TimeoutError:
                return process.too_long(spec)
            except ProcessExpired as error:
                return Failure(_ended(spec, error.exitcode))
            except BrokenProcessPool as error:
                await self._replace(pool, error)
        return Failure("could not be called: its processes end even while they are idle")

    async def _replace(self, broken: ProcessPool, error: Exception) -> None:
        """Replaces a pool that lost an idle process, which pebble does not recover from."""
        if self._pool is not broken:
            return
        log.warning("reward.processes_lost", error=str(error))
        self._pool = self._start()
        await asyncio.to_thread(_stop, broken)


def _stop(pool: ProcessPool) -> None:
    pool.stop()  # type: ignore[no-untyped-call]  # pebble's types leave it out
    pool.join()


def _ended(spec: RewardSpec, code: int) -> str:
    if code == OUT_OF_MEMORY:
        return f"took more than {spec.memory} of memory (memory)"
    if code < 0:
        return f"ended its process by {signal.Signals(-code).name}"
    return f"ended its process with exit code {code}"
