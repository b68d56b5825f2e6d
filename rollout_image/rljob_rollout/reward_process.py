"""What runs in a process that judges responses.

The user's code, and libraries on a model's output, may loop in C without letting go of the
interpreter, take all memory, or end the process: here that costs one sample.
"""

import asyncio
import inspect
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from rljob.api.quantity import bytes_of
from rljob.api.rollout import RewardSpec
from rljob.errors import UsageError
from rljob.telemetry import lifeline, log
from rljob_rollout.rewards import Reward, RewardInput, load_reward
from rljob_rollout.verdict import Failure, Verdict, verdict

OUT_OF_MEMORY = 99  # exit code of a process that has met its limit

_rewards: dict[str, Reward | UsageError] = {}
_taken = 0  # bytes, once all rewards were loaded


def prepare(rewards: Mapping[str, str], worker: int, replica: int) -> None:
    """Readies this process; no sample's time runs yet.

    Args:
        rewards: what to load, and where the job names it.
        worker: pid of the parent, with which this process ends.
        replica: the worker's number, for its lines of log.
    """
    # Signals to the worker's group are for the worker, which still gives its groups back.
    os.setpgrp()
    # In place of the pool's handler: code that keeps the interpreter would never let it run.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    lifeline.end_with_parent(signal.SIGKILL)
    if os.getppid() != worker:  # it has ended before the line above
        os._exit(1)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    log.configure("rollout", replica)
    for type_, field in rewards.items():
        try:
            _rewards[type_] = load_reward(type_, field)
        except UsageError as error:
            _rewards[type_] = error
    global _taken  # noqa: PLW0603 - one process, one preparation
    _taken = _data_bytes()


def is_async(type_: str) -> bool:
    """Whether a reward is an async function.

    Raises:
        UsageError: it does not import.
    """
    reward = _reward(type_)
    # An instance may be asynchronous by its class.
    call: Any = type(reward).__call__
    return inspect.iscoroutinefunction(reward) or inspect.iscoroutinefunction(call)


def judge(spec: RewardSpec, sample: RewardInput) -> Verdict:
    """The verdict of a plain function on a sample."""
    _limit_memory(spec)
    try:
        reward = _reward(spec.type)
        return verdict(reward(sample, strict=True) if spec.strict else reward(sample))
    except BaseException as error:  # noqa: BLE001 - the user's code may raise whatever it likes
        return _failure(error)


def judge_together(spec: RewardSpec, samples: Sequence[RewardInput]) -> list[Verdict]:
    """The verdicts of an async function on samples, which it judges at the same time."""
    _limit_memory(spec)

    async def together() -> list[Verdict]:
        return list(await asyncio.gather(*(_awaited(spec, sample) for sample in samples)))

    try:
        return asyncio.run(together())
    except BaseException as error:  # noqa: BLE001 - of a task that the user's code has begun
        return [_failure(error)] * len(samples)


def too_long(spec: RewardSpec) -> Failure:
    """The verdict on a sample that took longer than it may."""
    return Failure(f"took more than {spec.timeout_seconds:g} s (timeoutSeconds)")


async def _awaited(spec: RewardSpec, sample: RewardInput) -> Verdict:
    limit = asyncio.timeout(spec.timeout_seconds)
    try:
        async with limit:
            return verdict(await _reward(spec.type)(sample))
    except BaseException as error:  # noqa: BLE001 - the user's code may raise whatever it likes
        if isinstance(error, TimeoutError) and limit.expired():
            return too_long(spec)
        return _failure(error)


def _failure(error: BaseException) -> Failure:
    if isinstance(error, MemoryError):
        # What is left of the attempt may still hold it.
        os._exit(OUT_OF_MEMORY)
    if isinstance(error, UsageError):
        return Failure(str(error), is_usage=True)
    if isinstance(error, SystemExit):
        return Failure(f"called sys.exit({'' if error.code is None else repr(error.code)})")
    return Failure(f"raised {type(error).__name__}: {error}")


def _reward(type_: str) -> Reward:
    if type_ not in _rewards:  # of an evaluation that was added while the worker runs
        _rewards[type_] = load_reward(type_, "reward")
    found = _rewards[type_]
    if isinstance(found, UsageError):
        raise found
    return found


def _limit_memory(spec: RewardSpec) -> None:
    # Data, and not address space: of that, libraries for GPUs reserve far more than they take.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _taken + bytes_of(spec.memory)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _data_bytes() -> int:
    """Private writable memory of this process, as the limit counts it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("unreachable: Linux tells it of every process")
