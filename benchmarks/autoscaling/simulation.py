"""Simulates a job from its first batch to its last: trainer, buffer and replicas, by events.

Groups are admitted, leased, generated and consumed as in the real exchange: within the staleness
bound, consumed in the order of their admission, each leased by the replica with the fewest groups.
The trainer's metrics are the real trainer's `Utilization` on the simulated clock.
"""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from prometheus_client import CollectorRegistry

from benchmarks.autoscaling.engine import Replica
from benchmarks.autoscaling.policy import Policy, View
from benchmarks.autoscaling.scenario import BATCH, FIRST, GRACE, TRAINER_GPUS, Scenario
from rljob.buffer.records import Engine
from rljob_operator.observed import Report
from rljob_trainer.telemetry.utilization import Utilization

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
HEARTBEAT = 3.0  # s
LOOK = 15.0  # s between two calls of a policy
WINDOW = 300.0  # s in which a change back is a reversal


@dataclass(frozen=True)
class Outcome:
    """The outcome of one job.

    Args:
        hours: from the first batch to the last.
        waiting: the share of that time in which the trainer waited for samples.
        replica_hours: of all replicas, from creation to end.
        changes: (second, replicas before, after).
    """

    hours: float
    waiting: float
    replica_hours: float
    changes: tuple[tuple[float, int, int], ...]

    def gpu_hours(self, trainer: int = TRAINER_GPUS) -> float:
        """GPU-hours of trainer and rollouts together, for a trainer with this many GPUs."""
        return trainer * self.hours + self.replica_hours

    @property
    def reversals(self) -> int:
        """Changes that were reversed within the window."""
        steps = [(at, after - before) for at, before, after in self.changes]
        return sum(
            now - then < WINDOW and last * step < 0 for (then, last), (now, step) in pairwise(steps)
        )


class Simulation:
    """Runs a scenario with a policy."""

    def __init__(self, scenario: Scenario, policy: Policy, first: int = FIRST) -> None:
        """The job starts with `first` replicas that are ready."""
        self._scenario = scenario
        self._policy = policy
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._counter = 0
        self._now = 0.0
        self._replicas: list[Replica] = []
        self._wanted = first
        self._made = 0
        self._spent = 0.0  # s of replicas that have ended
        self._changes: list[tuple[float, int, int]] = []
        # The buffer and the trainer's ledger.
        self._waiting: deque[tuple[int, tuple[float, ...]]] = deque()
        self._completed: dict[int, float] = {}  # tokens
        self._admitted = 0
        self._consumed = 0
        self._batch = 0
        # The trainer.
        self._life = 0  # of the trainer; an event of an earlier life is void
        self._phase = "waiting"
        self._wait_began = self._batch_began = 0.0
        self._waited = self._lived = 0.0
        self._utilization = self._new_utilization()

    def run(self) -> Outcome:
        """Runs until the last batch is trained."""
        for _ in range(self._wanted):
            self._create(ready_after=0.0)
        self._heartbeat()
        self._look()
        dies, returns = self._scenario.dead
        if dies < returns:
            self._after(dies, self._die)
            self._after(returns, self._return)
        self._wait()
        while self._batch < self._scenario.batches:
            self._now, _, event = heapq.heappop(self._events)
            event()
        end = self._now
        spent = self._spent + sum(end - replica.born for replica in self._replicas)
        waiting = self._waited / self._lived
        return Outcome(end / 3600, waiting, spent / 3600, tuple(self._changes))

    def _after(self, seconds: float, event: Callable[[], None]) -> None:
        self._counter += 1
        heapq.heappush(self._events, (self._now + seconds, self._counter, event))

    # Trainer

    def _wait(self) -> None:
        self._phase, self._wait_began = "waiting", self._now
        for replica in self._replicas:
            replica.serving = replica.ready
        self._admit()
        self._collect()

    def _admit(self) -> None:
        window = (1 + self._scenario.staleness) * BATCH
        last = self._scenario.batches * BATCH
        while self._admitted - self._consumed < window and self._admitted < last:
            group = self._admitted
            self._admitted += 1
            self._waiting.append((group, self._scenario.lengths(group)))
        self._lease()

    def _collect(self) -> None:
        due = range(self._consumed, self._consumed + BATCH)
        if self._phase != "waiting" or not all(group in self._completed for group in due):
            return
        waited = self._now - self._wait_began
        tokens = sum(self._completed[group] for group in due)
        self._phase = "training"
        seconds = self._scenario.training(self._batch, tokens)
        life = self._life
        self._after(seconds, lambda: self._trained(waited, tokens, life))

    def _trained(self, waited: float, tokens: float, life: int) -> None:
        if life != self._life:
            return
        for group in range(self._consumed, self._consumed + BATCH):
            del self._completed[group]
        self._consumed += BATCH
        self._batch += 1
        seconds = self._now - self._batch_began
        self._batch_began = self._now
        self._waited += waited
        self._lived += seconds
        self._tell()
        self._utilization.batch(wait=waited, seconds=seconds, tokens=tokens)
        self._wait()

    def _die(self) -> None:
        self._lived += self._now - self._batch_began
        if self._phase == "waiting":
            self._waited += self._now - self._wait_began
        self._life += 1
        self._phase = "dead"

    def _return(self) -> None:
        self._batch_began = self._now
        self._utilization = self._new_utilization()
        self._wait()

    def _new_utilization(self) -> Utilization:
        return Utilization(CollectorRegistry(), clock=lambda: self._now)

    # Replicas

    def _create(self, ready_after: float) -> None:
        replica = Replica(self._made, self._now, self._scenario.full)
        self._made += 1
        self._replicas.append(replica)
        self._after(ready_after, lambda: self._started(replica))

    def _started(self, replica: Replica) -> None:
        replica.ready = True
        # While it waits, the trainer lets the replica catch up; otherwise with the next version.
        if self._phase == "waiting":
            replica.serving = True
            self._lease()

    def _lease(self) -> None:
        serving = [replica for replica in self._replicas if replica.serving]
        if not serving or not self._waiting:
            return
        for replica in serving:
            replica.advance(self._now)
        while self._waiting:
            min(serving, key=len).take(*self._waiting.popleft())
        for replica in serving:
            self._plan(replica)

    def _plan(self, replica: Replica) -> None:
        version, at = replica.version, replica.next_done()
        if at is not None:
            self._after(at - self._now, lambda: self._generated(replica, version))

    def _generated(self, replica: Replica, version: int) -> None:
        if version != replica.version:
            return
        replica.advance(self._now)
        group, tokens = replica.complete()
        self._completed[group] = tokens
        self._plan(replica)
        self._collect()

    def _remove(self, replica: Replica) -> None:
        replica.advance(self._now)
        self._waiting.extendleft(reversed(replica.give_back()))
        self._replicas.remove(replica)
        self._spent += self._now + GRACE - replica.born

    # Policy

    def _heartbeat(self) -> None:
        for replica in self._replicas:
            replica.advance(self._now)
        if self._phase == "waiting":
            self._tell()
        self._after(HEARTBEAT, self._heartbeat)

    def _tell(self) -> None:
        self._utilization.look(
            [
                Engine(str(replica.number), str(replica.number), "", len(replica), replica.busy)
                for replica in self._replicas
                if replica.serving
            ]
        )

    def _look(self) -> None:
        wanted = self._policy(self._view())
        if wanted != self._wanted:
            self._changes.append((self._now, self._wanted, wanted))
            self._wanted = wanted
        for _ in range(self._wanted - len(self._replicas)):
            self._create(self._scenario.starting(self._made))
        # In the operator's order: replicas that are not ready, then those with the fewest groups.
        surplus = len(self._replicas) - self._wanted
        leaving = sorted(self._replicas, key=lambda each: (each.serving, len(each)))
        for replica in leaving[: max(0, surplus)]:
            self._remove(replica)
        if surplus > 0:
            self._lease()
        self._after(LOOK, self._look)

    def _view(self) -> View:
        now = EPOCH + timedelta(seconds=self._now)
        silent = self._scenario.is_silent(self._now)
        report = None
        if not silent and self._phase != "dead":
            engines = sum(replica.serving for replica in self._replicas)
            body = {"phase": "running", "engines": engines, **self._utilization.status()}
            report = Report(now, body)
        for replica in self._replicas:
            replica.advance(self._now)
        return View(now, self._wanted, report, () if silent else tuple(self._replicas))
