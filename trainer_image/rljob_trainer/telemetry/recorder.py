"""Everything the trainer reports: journals, TensorBoard, W&B, Prometheus and /status."""

import json
import math
import statistics
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Gauge

from rljob.api import RLJob
from rljob.api.estimator import generates
from rljob.telemetry.metrics import METRICS, REWARDS
from rljob.telemetry.outcome import read_summary
from rljob_trainer.files.journal import Journal
from rljob_trainer.samples.evaluation import EvaluationResult
from rljob_trainer.telemetry.counters import Counters
from rljob_trainer.telemetry.headline import LOSS, REWARD, Headline
from rljob_trainer.telemetry.tensorboard import TensorBoard
from rljob_trainer.telemetry.weights_and_biases import WeightsAndBiases

log = structlog.get_logger()

_DROPPED = "groups/dropped"  # a counter in Prometheus
# What a line of the log tells of a batch if it is known, with the digits after the point.
_LOGGED = (
    ("reward", "reward/mean", 4),
    ("loss", "loss/total", 5),
    ("token_accuracy", "train/token_accuracy", 4),
    ("gradient_norm", "train/gradient_norm", 4),
    ("critic_loss", "critic/loss", 5),
    ("length", "response/length_mean", 1),
    ("version", "weights/version", None),
    ("staleness", "staleness/max", None),
    ("seconds", "time/total", 2),
)
# What /status tells of the last batch besides the headline.
_TOLD = {
    "token_accuracy": "train/token_accuracy",
    "response_length": "response/length_mean",
    "samples_per_second": "throughput/samples_per_second",
    "tokens_per_second": "throughput/tokens_per_second",
}
_WINDOW = 5  # batches over which the headline is averaged for the summary and the target


def finished_status(run_dir: Path, job: RLJob) -> dict[str, Any]:
    """The body of /status for a run that had finished before this process started."""
    summary = read_summary(run_dir)
    return {
        "phase": "finished",
        "message": "",
        "rollout": summary["rollouts"],
        "rollouts": job.spec.schedule.rollouts,
        "eta_seconds": 0,
        **(
            _of_samples(summary)
            if generates(job.spec.algorithm)
            else {LOSS.name: summary["loss_last5"]}
        ),
    }


def _of_samples(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "reward": summary["reward_last5"],
        "weight_version": summary["weight_versions"] - 1,
        "staleness_max": summary["staleness_max"],
    }


class Recorder:
    """Writes every number once, to all places. Lives on rank 0."""

    def __init__(
        self,
        job: RLJob,
        run_dir: Path,
        registry: CollectorRegistry,
        headline: Headline = REWARD,
    ) -> None:
        """Registers all series, and begins or continues the run at Weights & Biases.

        Raises:
            UsageError: Weights & Biases can't be used.
        """
        self._job = job
        self._headline = headline
        self._run_dir = run_dir
        self.journals = {
            name: Journal(run_dir / f"{name}.jsonl")
            for name in ("ledger", "metrics", "samples", "evaluations")
        }
        self._gauges = {
            metric.name: Gauge(metric.prometheus_name, metric.help, registry=registry)
            for metric in METRICS
            if metric.name != _DROPPED
        }
        self._rewards = Gauge(
            "rljob_rewards_mean",
            "Mean of each reward by its name, over the samples trained on, before its weight.",
            ["name"],
            registry=registry,
        )
        if generates(job.spec.algorithm):
            for reward in job.spec.rollout.all_rewards:
                self._rewards.labels(reward.name)  # as the others, it is there before a batch is
        self._counters = Counters(registry)
        self._evaluation = Gauge(
            "rljob_evaluation_reward",
            "Mean reward of a held-out data set.",
            ["name"],
            registry=registry,
        )
        self._passes = Gauge(
            "rljob_evaluation_pass",
            "Share of a held-out data set's prompts that one of k responses passes: pass@k.",
            ["name", "k"],
            registry=registry,
        )
        self._engines = Gauge(
            "rljob_engines",
            "Live engines that hold the published weights.",
            registry=registry,
        )
        self._tensorboard = TensorBoard(run_dir / "tensorboard", job, headline)
        spec = job.spec.tracking.wandb
        self._wandb = WeightsAndBiases(run_dir, job, spec) if spec is not None else None
        self._headlines: list[float] = []  # of each batch
        self._evaluations: dict[str, list[float]] = {}
        self._seconds = 0.0  # of earlier processes of this run
        self._began = time.monotonic()
        self._batch_seconds: deque[float] = deque(maxlen=10)
        self._status: dict[str, Any] = {
            "phase": "starting",
            "message": "loading the model",
            "rollout": 0,
            "rollouts": job.spec.schedule.rollouts,
            "evaluations": [],
        }

    def load(self, saved: Mapping[str, Any] | None) -> None:
        """Continues from a checkpoint, cutting off what was written after it, or begins."""
        if saved is None:
            for journal in self.journals.values():
                journal.rewind(0)
            return
        for name, journal in self.journals.items():
            journal.rewind(saved["offsets"][name])
        self._headlines = list(saved[self._headline.saved])
        self._evaluations = {name: list(values) for name, values in saved["evaluations"].items()}
        self._seconds = saved["seconds"]
        self._status["rollout"] = len(self._headlines)

    def save(self) -> dict[str, Any]:
        """The recorder's part of a checkpoint."""
        return {
            "offsets": {name: journal.sync() for name, journal in self.journals.items()},
            self._headline.saved: self._headlines,
            "evaluations": self._evaluations,
            "seconds": self.seconds,
        }

    @property
    def seconds(self) -> float:
        """Wall time of the run, over all its processes."""
        return self._seconds + time.monotonic() - self._began

    @property
    def recent_reward(self) -> float | None:
        """The mean reward of the last five batches; None before there are five."""
        return _mean(self._headlines[-_WINDOW:]) if len(self._headlines) >= _WINDOW else None

    def phase(self, phase: str, message: str = "") -> None:
        """Sets what the trainer is doing now."""
        self._status.update(phase=phase, message=message)

    def engines(self, count: int, outages: str = "") -> None:
        """Sets how many live engines hold the published weights, and what their workers wait for.

        Without an engine, training waits.
        """
        self._engines.set(count)
        self._status["engines"] = count
        if self._status["phase"] == "running":
            self._status["message"] = outages if count else "no engine is left; waiting for one"

    def update(self, **values: Any) -> None:
        """Sets numbers of /status that change within a batch."""
        self._status.update(values)

    def batch(
        self,
        rollout: int,
        metrics: Mapping[str, float],
        samples: Sequence[dict[str, Any]],
        *,
        rewards: Sequence[float] = (),
        count: int,
        tokens: int,
    ) -> None:
        """Records a batch that was trained on.

        Args:
            rollout: its number, from 1.
            metrics: by their names in METRICS.
            samples: a few, for people to read.
            rewards: of all its samples, if they were judged.
            count: the number of its samples.
            tokens: of all its responses.
        """
        headline = metrics[self._headline.metric]
        self._headlines.append(headline)
        self._batch_seconds.append(metrics["time/total"])
        # JSON has no NaN; a step skipped for its gradient has no norm to report.
        finite = {n: value if math.isfinite(value) else None for n, value in metrics.items()}
        self.journals["metrics"].append({"rollout": rollout, "time": time.time(), **finite})
        for sample in samples:
            self.journals["samples"].append({"rollout": rollout, **sample})
        dropped = int(metrics.get(_DROPPED, 0))
        self._counters.batch(rewards, samples=count, tokens=tokens, dropped=dropped)
        for name, value in metrics.items():
            if name.startswith(REWARDS):
                self._rewards.labels(name.removeprefix(REWARDS)).set(value)
            elif name != _DROPPED:
                self._gauges[name].set(value)
        if self._job.spec.tracking.tensorboard:
            self._tensorboard.batch(rollout, metrics, samples)
        if self._wandb is not None:
            self._wandb.batch(rollout, metrics)
        remaining = self._job.spec.schedule.rollouts - rollout
        self._status.update(
            rollout=rollout,
            eta_seconds=round(remaining * statistics.median(self._batch_seconds)),
            **{self._headline.name: headline},
            **{name: metrics[metric] for name, metric in _TOLD.items() if metric in metrics},
        )
        log.info(
            "rollout.done",
            rollout=rollout,
            **{
                short: round(metrics[name], digits)
                for short, name, digits in _LOGGED
                if name in metrics  # a batch from which only the critic learns has other numbers
            },
        )

    def evaluation(self, rollout: int, result: EvaluationResult) -> None:
        """Records a data set's evaluation after `rollout` batches."""
        reward = result.score.reward
        self._evaluations.setdefault(result.name, []).append(reward)
        record = {
            "rollout": rollout,
            "time": time.time(),
            "name": result.name,
            **result.score.numbers(),
            "count": result.count,
            "failed": len(result.failed),
            "samples": result.samples,
        }
        self.journals["evaluations"].append(record)
        self._evaluation.labels(result.name).set(reward)
        for k, share in result.score.passes.items():
            self._passes.labels(result.name, str(k)).set(share)
        if self._job.spec.tracking.tensorboard:
            self._tensorboard.evaluation(rollout, result)
        if self._wandb is not None:
            self._wandb.evaluation(rollout, result)
        others = [e for e in self._status["evaluations"] if e["name"] != result.name]
        self._status["evaluations"] = [*others, record]
        numbers = {name: round(value, 4) for name, value in result.score.numbers().items()}
        log.info(
            "evaluation.done",
            name=result.name,
            rollout=rollout,
            failed=len(result.failed),
            **numbers,
        )

    def status(self) -> dict[str, Any]:
        """The body of /status."""
        return dict(self._status)

    def summary(self, state: str, **facts: Any) -> None:
        """Writes the run's outcome to summary.json."""
        name, values = self._headline.name, self._headlines
        summary = {
            "state": state,
            "seed": self._job.spec.seed,
            "seconds": round(self.seconds, 1),
            "rollouts": len(values),
            f"{name}_first5": _mean(values[:_WINDOW]) if values else None,
            f"{name}_last5": _mean(values[-_WINDOW:]) if values else None,
            "evaluations": {
                each: {"before": results[0], "after": results[-1]}
                for each, results in self._evaluations.items()
            },
            **facts,
        }
        path = self._run_dir / "summary.json"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(summary, indent=2) + "\n")
        partial.rename(path)

    def close(self) -> None:
        """Flushes TensorBoard and Weights & Biases."""
        self._tensorboard.close()
        if self._wandb is not None:
            self._wandb.close()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
