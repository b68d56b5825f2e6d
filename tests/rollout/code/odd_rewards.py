"""Rewards as users write them, with what can go wrong."""

import asyncio
import threading
from typing import Any

from rljob_rollout.rewards import RewardInput

_block = threading.Event()
calls: list[RewardInput] = []


def raises(sample: RewardInput) -> float:
    calls.append(sample)
    raise KeyError("answer")


def nan(sample: RewardInput) -> float:
    return float("nan")


def text(sample: RewardInput) -> str:
    return "0.5"


def nothing(sample: RewardInput) -> None:
    return None


def hangs(sample: RewardInput) -> float:
    _block.wait()
    return 0.0


def fails_once(sample: RewardInput) -> float:
    calls.append(sample)
    if len(calls) == 1:
        raise ConnectionError("busy")
    return 1.0


def with_parts(sample: RewardInput) -> dict[str, Any]:
    return {"reward": 0.25, "format": 1, "words": sample.response.split()}


def with_an_object(sample: RewardInput) -> dict[str, Any]:
    return {"reward": 0.25, "judge": object()}


async def asynchronous(sample: RewardInput) -> float:
    await asyncio.sleep(0)
    return float(len(sample.response))


async def asynchronous_hangs(sample: RewardInput) -> float:
    await asyncio.Event().wait()
    return 0.0


class Judge:
    async def __call__(self, sample: RewardInput) -> float:
        return 0.5


judge = Judge()
number = 5
