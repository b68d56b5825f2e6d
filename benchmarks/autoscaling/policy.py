"""Policies that decide how many replicas there are: the operator's, HPA, AIBrix, a fixed number."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from benchmarks.autoscaling.engine import Replica
from benchmarks.autoscaling.scenario import BATCH, CACHE, FIRST, LEAST, MOST, SAMPLES, TRAINER_GPUS
from rljob.api import RLJobSpec
from rljob_operator.observed import Report
from rljob_operator.policies.autoscale import scale
from rljob_operator.policies.autoscale_memory import Memory
from rljob_operator.policies.autoscale_sample import Sample


@dataclass(frozen=True)
class View:
    """What a policy can observe at one time.

    Args:
        now: the time.
        wanted: the current number of wanted replicas.
        report: the trainer's; None: it can't be read.
        replicas: all of them; empty if their metrics can't be read.
    """

    now: datetime
    wanted: int
    report: Report | None
    replicas: Sequence[Replica]


class Policy(Protocol):
    """Returns the number of wanted replicas; called every 15 seconds."""

    def __call__(self, view: View) -> int: ...


class Fixed:
    """Always the same number."""

    def __init__(self, replicas: int) -> None:
        self._replicas = replicas

    def __call__(self, view: View) -> int:
        return self._replicas


class Rate:
    """The operator's policy, which keeps its memory in the job's status."""

    def __init__(self, staleness: int, trainer_gpus: int = TRAINER_GPUS) -> None:
        self._spec = _spec(staleness, trainer_gpus)
        self._memory: Any = {}

    def __call__(self, view: View) -> int:
        sample = Sample.of(view.report)
        memory = Memory.from_json(self._memory)
        verdict = scale(self._spec, view.wanted, memory, sample, view.now, floor=LEAST)
        self._memory = verdict.memory.to_json()
        return verdict.replicas


def _spec(staleness: int, trainer_gpus: int) -> RLJobSpec:
    autoscaling = {"mode": "Rate", "minReplicas": LEAST, "maxReplicas": MOST}
    return RLJobSpec.model_validate(
        {
            "model": {"checkpoint": "/models/Qwen3-4B"},
            "data": {"prompts": ["/data/train.jsonl"]},
            "algorithm": {"samplesPerPrompt": SAMPLES},
            "schedule": {
                "rollouts": 1000,
                "rolloutBatchSize": BATCH,
                "globalBatchSize": BATCH * SAMPLES,
                "maxStaleness": staleness,
            },
            "trainer": {"gpusPerReplica": trainer_gpus},
            "rollout": {"replicas": FIRST, "autoscaling": autoscaling},
        }
    )


class Utilization:
    """Share of the last seconds in which each engine had work, for replicas that are ready.

    After metrics could not be read, there are none for a while.
    """

    def __init__(self, seconds: float) -> None:
        self._window = timedelta(seconds=seconds)
        self._told: deque[tuple[datetime, dict[int, float]]] = deque()

    def __call__(self, view: View) -> dict[int, float]:
        """Utilization by replica."""
        busy = {each.number: each.busy for each in view.replicas if each.ready}
        if not busy:
            return {}
        self._told.append((view.now, busy))
        while len(self._told) > 1 and self._told[1][0] <= view.now - self._window:
            self._told.popleft()
        then, before = self._told[0]
        seconds = (view.now - then).total_seconds()
        if not 0 < seconds <= 2 * self._window.total_seconds():
            return {}
        return {
            number: (busy[number] - before[number]) / seconds for number in busy if number in before
        }


class Hpa:
    """kube-controller-manager's algorithm on the engines' utilization, with its defaults.

    Source: kubernetes v1.35, pkg/controller/podautoscaler/replica_calculator.go
    (GetResourceReplicas) and horizontal.go (normalizeDesiredReplicas).
    """

    TARGET = 0.8  # pkg/apis/autoscaling: DefaultCPUUtilization
    _TOLERANCE = 0.1
    _DOWN = timedelta(minutes=5)

    def __init__(self) -> None:
        self._utilization = Utilization(60)  # as metrics-server averages
        self._recommended: list[tuple[datetime, int]] = []

    def __call__(self, view: View) -> int:
        if not self._recommended:
            self._recommended.append((view.now, view.wanted))  # recordInitialRecommendation
        use = self._utilization(view)
        if not use:
            return view.wanted
        wanted = self._replicas(view, use)
        self._recommended = [each for each in self._recommended if each[0] >= view.now - self._DOWN]
        self._recommended.append((view.now, wanted))
        stabilised = max(each for _, each in self._recommended)
        most = min(MOST, max(2 * view.wanted, 4))
        return min(max(stabilised, LEAST), most)

    def _replicas(self, view: View, use: dict[int, float]) -> int:
        unready = len(view.replicas) - len(use)
        ratio = sum(use.values()) / len(use) / self.TARGET
        if ratio <= 1 or not unready:
            if self._tolerated(ratio):
                return view.wanted
            return math.ceil(ratio * len(use))
        # If some are still starting, they count as idle.
        later = sum(use.values()) / (len(use) + unready) / self.TARGET
        if self._tolerated(later) or later < 1:
            return view.wanted
        return max(view.wanted, math.ceil(later * (len(use) + unready)))

    def _tolerated(self, ratio: float) -> bool:
        return 1 - self._TOLERANCE <= ratio <= 1 + self._TOLERANCE


class AiBrix:
    """AIBrix's own rule, APA, with its defaults.

    Source: vllm-project/aibrix, pkg/controller/podautoscaler/algorithm/apa.go,
    context/context.go (rates, tolerances, windows) and docs/source/features/autoscaling/
    metric-based-autoscaling.rst.
    """

    _TOLERANCE = 0.1
    _RATE = 2.0
    _OBSERVED = timedelta(seconds=180)
    _DOWN = timedelta(seconds=300)

    def __init__(self, metric: Callable[[View], float | None], target: float) -> None:
        self._metric = metric
        self._target = target
        self._seen: list[tuple[datetime, float]] = []
        self._recommended: list[tuple[datetime, int]] = []

    def __call__(self, view: View) -> int:
        if not self._recommended:
            self._recommended.append((view.now, view.wanted))
        value = self._metric(view)
        if value is None:
            return view.wanted
        self._seen = [each for each in self._seen if each[0] > view.now - self._OBSERVED]
        self._seen.append((view.now, value))
        mean = sum(each for _, each in self._seen) / len(self._seen)
        wanted = self._replicas(view, mean / self._target)
        self._recommended = [each for each in self._recommended if each[0] >= view.now - self._DOWN]
        self._recommended.append((view.now, wanted))
        if wanted < view.wanted:
            wanted = min(view.wanted, max(each for _, each in self._recommended))
        return min(max(wanted, LEAST), MOST)

    def _replicas(self, view: View, ratio: float) -> int:
        have = view.wanted
        if ratio > 1 + self._TOLERANCE:
            pending = sum(not each.ready for each in view.replicas)
            # Starting replicas count as idle: applyPendingReplicaGuard in autoscaler.go.
            full = min(math.ceil(have * ratio), math.ceil(self._RATE * have))
            guarded = math.ceil((have - pending) * ratio)
            return max(have, min(full, guarded)) if pending else full
        if ratio < 1 - self._TOLERANCE:
            pending = sum(not each.ready for each in view.replicas)
            full = max(math.ceil(have * ratio), math.floor(have / self._RATE))
            return min(have, max(full, math.ceil((have - pending) * ratio + pending)))
        return have


def cache_use(view: View) -> float | None:
    """Mean use of the engines' key-value caches: vLLM's gpu_cache_usage_perc."""
    ready = [each for each in view.replicas if each.ready]
    if not ready:
        return None
    return sum(min(1.0, each.cached() / CACHE) for each in ready) / len(ready)


class MeanUtilization:
    """The mean of the engines' utilization."""

    def __init__(self) -> None:
        self._utilization = Utilization(15)

    def __call__(self, view: View) -> float | None:
        use = self._utilization(view)
        return sum(use.values()) / len(use) if use else None
