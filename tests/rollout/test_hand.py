"""The groups that a worker holds, and for how long it held any."""

import asyncio
from unittest.mock import Mock

import numpy as np
import pytest

from rljob.buffer.records import Group, Lease
from rljob_rollout import hand
from rljob_rollout.hand import Hand


def lease(number: int) -> Lease:
    group = Group(
        id=number,
        incarnation=1,
        kind="train",
        prompt="p",
        prompt_tokens=np.array([1], np.int32),
        messages=None,
        label="l",
        metadata={},
        samples=1,
        sampling={},
        rewards=[],
        seed=0,
    )
    return Lease(f"train {number}-0", group, 0.0, 1, None)


def test_it_is_busy_while_there_is_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Mock(return_value=100.0)  # a real one would make the expected times a guess
    monkeypatch.setattr(hand.time, "monotonic", clock)
    held = Hand(4)
    clock.return_value = 110.0
    assert held.busy_seconds == 0
    held.add([])
    held.add([lease(1), lease(2)])
    clock.return_value = 113.0
    assert held.busy_seconds == 3
    held.drop(lease(1))
    held.add([lease(3)])
    clock.return_value = 115.0
    held.drop(lease(2))
    held.drop(lease(3))
    clock.return_value = 150.0
    held.drop(lease(3))
    assert held.busy_seconds == 5
    held.add([lease(4)])
    clock.return_value = 151.0
    assert held.busy_seconds == 6


def test_an_engine_that_falls_silent_gets_half_the_load_until_it_completes_groups() -> None:
    held = Hand(8)
    held.add([lease(number) for number in range(6)])
    held.shrink()
    assert held.limit == 3
    for number in range(6):
        held.drop(lease(number))
    assert asyncio.run(held.room()) == 3
    held.add([lease(7)])
    held.shrink()
    held.shrink()
    assert held.limit == 1  # never none
    held.drop(lease(7))
    for _ in range(20):
        held.grow()
    assert asyncio.run(held.room()) == held.limit == 8
