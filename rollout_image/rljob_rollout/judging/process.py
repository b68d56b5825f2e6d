"""The code that runs in a process that judges responses.

The user's code, or a library given a model's output, may loop in C without releasing the GIL, take
all memory, or end the process: in a separate process that costs only one sample.
"""

import asyncio
import inspect
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from typing import Any

from rljob.api.quantity import bytes_of
from rljob.api.reward import RewardSpec
from rljob.errors import UsageError
from rljob.telemetry import lifeline, log
from rljob_rollout.judging.verdict import Failure, Verdict, verdict, verdicts
from rljob_rollout.memory_limit import OUT_OF_MEMORY, data_bytes, limit_memory
from rljob_rollout.rewards import Reward, RewardInput, load_reward
from rljob_rollout.slime import modules
from rljob_rollout.slime.reward import adapted

_rewards: dict[str, Reward | UsageError] = {}
_arguments: dict[str, Any] = {}  # for functions of slime
_taken = 0  # bytes, once all rewards were loaded


def prepare(
    rewards: Mapping[str, str], worker: int, replica: int, arguments: Mapping[str, Any]
) -> None:
    """Prepares this process before any sample's time limit starts.

    Args:
        rewards: the rewards to load, and where the job names each.
        worker: pid of the parent; this process ends with it.
        replica: the worker's number, for log lines.
        arguments: the job's under slime's names, for functions written for it.
    """
    # Signals to the worker's group are for the worker, which still has to give its groups back.
    os.setpgrp()
    # Replaces the pool's Python handler, which would never run while C code holds the GIL.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    lifeline.end_with_parent(signal.SIGKILL)
    if os.getppid() != worker:  # it ended before the line above
        os._exit(1)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    log.configure("rollout", replica)
    modules.install()
    _arguments.update(arguments)
    for type_, field in rewards.items():
        try:
            _rewards[type_] = _loaded(type_, field)
        except UsageError as error:
            _rewards[type_] = error
    global _taken  # noqa: PLW0603 - one process, one preparation
    _taken = data_bytes()


def is_async(type_: str) -> bool:
    """Whether a reward is an async function.

    Raises:
        UsageError: it can't be imported.
    """
    reward = _reward(type_)
    # An instance is asynchronous if its class's __call__ is.
    call: Any = type(reward).__call__
    return inspect.iscoroutinefunction(reward) or inspect.iscoroutinefunction(call)


def judge(spec: RewardSpec, sample: RewardInput) -> Verdict:
    """The verdict of a plain function on a sample."""
    _limit_memory(spec)
    try:
        return verdict(_reward(spec.type)(sample, **options(spec)))
    except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
        return _failure(error)


def judge_together(spec: RewardSpec, samples: Sequence[RewardInput]) -> list[Verdict]:
    """The verdicts of an async function on samples, which it judges concurrently."""
    _limit_memory(spec)

    async def together() -> list[Verdict]:
        return list(await asyncio.gather(*(_awaited(spec, sample) for sample in samples)))

    try:
        return asyncio.run(together())
    except BaseException as error:  # noqa: BLE001 - from a task that the user's code started
        return [_failure(error)] * len(samples)


def judge_group(spec: RewardSpec, samples: Sequence[RewardInput]) -> list[Verdict] | Failure:
    """The verdicts of a plain or an async function that judges a group at once."""
    _limit_memory(spec)

    limit: asyncio.Timeout | None = None

    async def found() -> list[Verdict] | Failure:
        nonlocal limit
        async with asyncio.timeout(spec.timeout_seconds) as limit:
            result = _reward(spec.type)(list(samples))
            return verdicts(await result if inspect.isawaitable(result) else result, len(samples))

    try:
        return asyncio.run(found())
    except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
        # It may also raise a TimeoutError of its own.
        if isinstance(error, TimeoutError) and limit is not None and limit.expired():
            return too_long(spec)
        return _failure(error)


def options(spec: RewardSpec) -> dict[str, Any]:
    """The options of a built-in reward."""
    given = {"strict": spec.strict or None, "buffer_tokens": spec.buffer_tokens}
    return {name: value for name, value in given.items() if value is not None}


def too_long(spec: RewardSpec) -> Failure:
    """The verdict on a sample that exceeded the time limit."""
    return Failure(f"took more than {spec.timeout_seconds:g} s (timeoutSeconds)")


async def _awaited(spec: RewardSpec, sample: RewardInput) -> Verdict:
    limit = asyncio.timeout(spec.timeout_seconds)
    try:
        async with limit:
            return verdict(await _reward(spec.type)(sample))
    except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
        if isinstance(error, TimeoutError) and limit.expired():
            return too_long(spec)
        return _failure(error)


def _failure(error: BaseException) -> Failure:
    if isinstance(error, MemoryError):
        # Leftovers of the attempt may still hold the memory, so start a new process.
        os._exit(OUT_OF_MEMORY)
    if isinstance(error, UsageError):
        return Failure(str(error), is_usage=True)
    if isinstance(error, SystemExit):
        return Failure(f"called sys.exit({'' if error.code is None else repr(error.code)})")
    return Failure(f"raised {type(error).__name__}: {error}")


def _reward(type_: str) -> Reward:
    if type_ not in _rewards:  # of an evaluation that was added while the worker was running
        _rewards[type_] = _loaded(type_, "reward")
    found = _rewards[type_]
    if isinstance(found, UsageError):
        raise found
    return found


def _loaded(type_: str, field: str) -> Reward:
    reward: Reward = adapted(load_reward(type_, field), type_, _arguments)
    return reward


def _limit_memory(spec: RewardSpec) -> None:
    limit_memory(_taken + bytes_of(spec.memory))
