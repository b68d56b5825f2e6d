"""The life of a job ends the same, step by step, whatever happens to the operator meanwhile.

The operator may be killed before or after each of its writes (the method of Sieve, OSDI 2022).
Between it and the API server, replies and events may fail, be late, or be lost.
"""

import functools
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.faults import fault
from tests.faults.life import STEPS
from tests.faults.sweep import RESYNC, Case, Outcome, Sweep, report

LONG_ONLY = {"scale up", "scale down", "lose the trainer's pod"}
SHORT = [each for each in STEPS if each.name not in LONG_ONLY]
SEEDS = range(3)


def killed(number: int, *, done: bool) -> Case:
    """A life in which the operator is killed at a write."""
    name = f"killed {'after' if done else 'before'} write {number}"
    return Case(name, functools.partial(fault.Kill, number, done), most=1.5)


def faults(seed: int) -> list[Case]:
    """A life under each kind of fault."""

    def refused(code: int, reason: str, **more: Any) -> Callable[[], fault.Fault]:
        return functools.partial(fault.Refuse, code, reason, 0.08, seed, **more)

    def several() -> fault.Fault:
        return fault.Several(
            fault.Refuse(500, "InternalError", 0.03, seed),
            fault.Refuse(0, "", 0.03, seed + 1, done=True),
            fault.Drop(0.1, seed),
            fault.Delay(1.0, seed),
            fault.CutWatches(0.02, seed),
            fault.Stale(0.2, seed),
        )

    cases = [
        Case("forbidden", refused(403, "Forbidden")),
        Case("forbidden writes", refused(403, "Forbidden", writes=True)),
        Case("conflicts", refused(409, "Conflict", writes=True)),
        Case("too many requests", refused(429, "TooManyRequests", retry_after=1)),
        Case("internal errors", refused(500, "InternalError")),
        Case("internal errors after the fact", refused(500, "InternalError", done=True), most=3),
        Case("unavailable", refused(503, "ServiceUnavailable")),
        Case("timeouts", refused(504, "Timeout")),
        Case("cut before", refused(0, "")),
        Case("cut after", refused(0, "", done=True), most=3),
        Case("events lost", functools.partial(fault.Drop, 0.3, seed), (RESYNC,)),
        Case("events doubled", fault.Double),
        Case("events late", functools.partial(fault.Delay, 2.0, seed)),
        Case("watches cut", functools.partial(fault.CutWatches, 0.2, seed)),
        Case("stale reads", functools.partial(fault.Stale, 0.5, seed), (RESYNC,)),
        Case("all at once", several, (RESYNC,), most=3),
    ]
    return [replace(each, name=f"{each.name}, seed {seed}") for each in cases]


def told(outcomes: list[Outcome], sweep: Sweep) -> None:
    """Prints the numbers; fails where a life ended otherwise."""
    writes = sorted(each.writes for each in outcomes)
    print(
        f"{len(outcomes)} lives, undisturbed {sweep.undisturbed.writes} writes, "
        f"here {writes[0]} to {writes[-1]}; slowest {max(each.seconds for each in outcomes):.0f} s"
    )
    for each in outcomes:
        print(f"{each.name}: {each.seconds:.0f} s, {each.writes} writes {each.killed or ''}")
    assert not report(outcomes), report(outcomes)


def test_some_lives(control_plane: ControlPlane, rljobs: None) -> None:
    choice = random.Random(4)
    cases = [killed(choice.randrange(1, 65), done=done) for done in (True, False)]
    forbidden, *others = faults(0)
    cases += [forbidden, *choice.sample(others, 5)]
    sweep = Sweep(control_plane, SHORT)
    told(sweep.run(cases), sweep)


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_the_operator_is_killed_at_every_write(control_plane: ControlPlane, rljobs: None) -> None:
    sweep = Sweep(control_plane, STEPS)
    writes = sweep.lead().writes
    cases = [killed(number, done=done) for number in range(1, writes + 1) for done in (False, True)]
    told(sweep.run(cases), sweep)


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_faults_between_operator_and_server(control_plane: ControlPlane, rljobs: None) -> None:
    hang = functools.partial(fault.Hang, 20, 40, 70.0)
    cases = [Case("no reply in time", hang, seconds=240)]
    cases += [case for seed in SEEDS for case in faults(seed)]
    sweep = Sweep(control_plane, STEPS)
    told(sweep.run(cases), sweep)
