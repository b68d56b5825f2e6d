"""Many lives at once, each under its own fault, next to an undisturbed one."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from tests.cluster.client import ApiError
from tests.cluster.control_plane import ControlPlane
from tests.faults.fault import Fault
from tests.faults.life import Step, follow, lead, world

RESYNC = "--resync-seconds=3"


@dataclass(frozen=True)
class Case:
    """A life to be led.

    Args:
        name: of the case.
        fault: made anew for each life.
        options: of the operator.
        seconds: that a step may take.
        most: writes, as a multiple of those of the undisturbed life.
    """

    name: str
    fault: Callable[[], Fault]
    options: tuple[str, ...] = ()
    seconds: float = 120.0
    most: float = 2.0


@dataclass(frozen=True)
class Outcome:
    """How a life went.

    Args:
        name: of the case.
        seconds: that it took.
        writes: that reached the server.
        killed: after which of them the operator was.
        error: what is wrong; "" where nothing is.
    """

    name: str
    seconds: float
    writes: int
    killed: list[str]
    error: str


class Sweep:
    """Cases that are compared with one undisturbed life."""

    def __init__(self, plane: ControlPlane, steps: Sequence[Step]) -> None:
        self._plane = plane
        self._steps = steps
        self._known: list[Future[Any]] = [Future() for _ in steps]
        self.undisturbed = Outcome("undisturbed", 0, 0, [], "")

    def lead(self) -> Outcome:
        """The undisturbed life."""
        began = time.monotonic()
        with world(self._plane, Fault()) as led:
            lead(led, self._steps, self._known)
            writes = len(led.proxy.writes)
            assert led.operator.errors() == 0
        self.undisturbed = Outcome("undisturbed", time.monotonic() - began, writes, [], "")
        return self.undisturbed

    def run(self, cases: Sequence[Case]) -> list[Outcome]:
        """All cases, some at a time; where `lead` was not called it goes beside them."""
        parallel = int(os.environ.get("RLJOB_LIVES", "8"))
        with ThreadPoolExecutor(parallel) as pool:
            leading = None if self._known[0].done() else pool.submit(self.lead)
            outcomes = list(pool.map(self._case, cases))
            if leading is not None:
                leading.result()
        return [self._bounded(case, each) for case, each in zip(cases, outcomes, strict=True)]

    def _case(self, case: Case) -> Outcome:
        began = time.monotonic()
        error, writes, killed = "", 0, []
        try:
            with world(self._plane, case.fault(), *case.options) as led:
                try:
                    follow(led, self._steps, self._known, case.seconds)
                except (AssertionError, RuntimeError) as wrong:
                    log = led.operator.log.read_text()[-2000:]
                    state = "\n".join(
                        line
                        for line in led.operator.get("/metrics").splitlines()
                        if line.startswith("rljob_operator_") and "bucket" not in line
                    )
                    error = f"{wrong}\n{log}\n{state}\nwrites: {led.proxy.writes[-20:]}"
                writes, killed = len(led.proxy.writes), led.killed
        except (ApiError, OSError, httpx.HTTPError) as wrong:
            error = error or f"{type(wrong).__name__}: {wrong}"
        return Outcome(case.name, time.monotonic() - began, writes, killed, error)

    def _bounded(self, case: Case, outcome: Outcome) -> Outcome:
        most = int(case.most * self.undisturbed.writes)
        if outcome.error or outcome.writes <= most:
            return outcome
        error = f"{outcome.writes} writes, allowed {most}"
        return Outcome(outcome.name, outcome.seconds, outcome.writes, outcome.killed, error)


def report(outcomes: Sequence[Outcome]) -> str:
    """What is wrong, for a person; "" where nothing is."""
    return "\n\n".join(
        f"== {each.name}, killed after {each.killed}: {each.error}"
        for each in outcomes
        if each.error
    )
