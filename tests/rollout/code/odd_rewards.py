"""Rewards as users write them, with their possible mistakes."""

import asyncio
import ctypes
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import structlog

from rljob_rollout.rewards import RewardInput


def _note_call(sample: RewardInput) -> int:
    """Counts calls in the file that the prompt's metadata names; processes share nothing else."""
    calls = Path(sample.metadata["calls"])
    with calls.open("a") as file:
        file.write("x")
    return calls.stat().st_size


def raises(sample: RewardInput) -> float:
    raise KeyError("answer")


def counts_and_raises(sample: RewardInput) -> float:
    _note_call(sample)
    raise KeyError("answer")


def nan(sample: RewardInput) -> float:
    return float("nan")


def text(sample: RewardInput) -> str:
    return "0.5"


def nothing(sample: RewardInput) -> None:
    return None


def hangs(sample: RewardInput) -> float:
    threading.Event().wait()
    return 0.0


def fails_once(sample: RewardInput) -> float:
    if _note_call(sample) == 1:
        raise ConnectionError("busy")
    return 1.0


def with_parts(sample: RewardInput) -> dict[str, Any]:
    return {"reward": 0.25, "format": 1, "words": sample.response.split()}


def with_an_object(sample: RewardInput) -> dict[str, Any]:
    return {"reward": 0.25, "judge": object()}


def one_is_bad(sample: RewardInput) -> float:
    """Does to its process what the response says."""
    deeds: dict[str, Any] = {
        "exit": lambda: sys.exit(3),
        "end": lambda: os._exit(7),
        "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "hold": _hold_the_interpreter,
        "grow": lambda: bytearray(8 << 30),
        "nest": lambda: _nest(0),
    }
    deeds.get(sample.response, int)()
    return 1.0


def process(sample: RewardInput) -> float:
    """The process that judges."""
    return os.getpid()


def speaks(sample: RewardInput) -> float:
    print("printed by the reward")
    logging.getLogger("judge").warning("logged by the reward")
    structlog.get_logger().info("reward.event", said="structured by the reward")
    return 0.0


def says_and_holds(sample: RewardInput) -> float:
    print("judging")
    _hold_the_interpreter()
    return 0.0


def _hold_the_interpreter() -> None:
    # PyDLL keeps the GIL for the call: no other thread of the process runs, nor a signal's handler.
    ctypes.PyDLL(None).sleep(3600)


def _nest(depth: int) -> int:
    return _nest(depth + 1) + 1


async def asynchronous(sample: RewardInput) -> float:
    await asyncio.sleep(0)
    return float(len(sample.response))


async def asynchronous_hangs(sample: RewardInput) -> float:
    await asyncio.Event().wait()
    return 0.0


async def asynchronous_one_is_bad(sample: RewardInput) -> float:
    return one_is_bad(sample)


_together: list[RewardInput] = []


async def asynchronous_waits_for_others(sample: RewardInput) -> float:
    """Returns once three are being judged at the same time."""
    _together.append(sample)
    while len(_together) < 3:
        await asyncio.sleep(0)
    return 1.0


class Judge:
    async def __call__(self, sample: RewardInput) -> float:
        return 0.5


judge = Judge()
number = 5


def ranks(samples: list[RewardInput]) -> list[dict[str, Any]]:
    """The longest response is the best."""
    lengths = sorted(len(each.response) for each in samples)
    return [{"reward": lengths.index(len(each.response)), "of": len(samples)} for each in samples]


async def asynchronous_ranks(samples: list[RewardInput]) -> list[dict[str, Any]]:
    await asyncio.sleep(0)
    return ranks(samples)


def too_few(samples: list[RewardInput]) -> list[float]:
    return [1.0]


def one_is_nan(samples: list[RewardInput]) -> list[float]:
    return [1.0, float("nan")]


def group_fails_once(samples: list[RewardInput]) -> list[float]:
    if _note_call(samples[0]) == 1:
        raise KeyError("answer")
    return [1.0] * len(samples)
