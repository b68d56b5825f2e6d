"""The main loop: admit, collect, score, step, publish, record, evaluate, save."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import structlog
import torch
from torch import Tensor

from rljob.api import RLJob
from rljob.errors import UsageError
from rljob_trainer.checkpoints.checkpoint import Checkpoint, Checkpoints, pack
from rljob_trainer.checkpoints.saver import Saver
from rljob_trainer.desk import Desk
from rljob_trainer.learning.learner import Learner
from rljob_trainer.process.collective import Rank0
from rljob_trainer.process.stop import StoppedError
from rljob_trainer.samples.evaluation_schedule import EvaluationSchedule
from rljob_trainer.samples.rollout_batch import RolloutBatch
from rljob_trainer.telemetry.advantage import advantage_metrics
from rljob_trainer.telemetry.limits import check_limits
from rljob_trainer.telemetry.mismatch import (
    check_mismatch,
    check_probe,
    check_reference,
    mismatch_bound,
    mismatch_metrics,
)
from rljob_trainer.telemetry.skipped import SkippedSteps
from rljob_trainer.telemetry.stopwatch import Stopwatch
from rljob_trainer.trajectories.trajectory import Trajectory
from rljob_trainer.weights.bucket import buckets
from rljob_trainer.weights.host_memory import HostMemory
from rljob_trainer.weights.probe import probe_tokens
from rljob_trainer.weights.snapshot import Snapshot

log = structlog.get_logger()

T = TypeVar("T")


class Conductor:
    """Runs a job from its first batch, or its last checkpoint, to its end.

    Every rank runs the same loop. Work that is done once for all of them (buffer, ledger, engines,
    files) happens at the desk on rank 0, and its outcome is shared: see `_at_desk`.
    """

    def __init__(
        self,
        job: RLJob,
        *,
        learner: Learner,
        rank0: Rank0,
        desk: Desk | None,
        checkpoints: Checkpoints,
        output: Path,
    ) -> None:
        """`output` is the directory for the trained model, in Hugging Face format."""
        self._job = job
        self._spec = job.spec
        self._learner = learner
        self._rank0 = rank0
        self._desk = desk
        self._checkpoints = checkpoints
        saved = desk.health.saved if desk is not None else lambda: None
        self._saver = Saver(checkpoints, learner.captures, rank0, saved)
        self._output = output
        self._skipped = SkippedSteps(is_first_rank=rank0.rank == 0)
        self._bound = mismatch_bound(job.spec.algorithm.mismatch, learner.policy.dtype)
        self._probe = probe_tokens(job.spec, learner.policy.vocabulary)
        self._probed: tuple[int, Tensor] | None = None  # version, log-probabilities expected
        self._probe_report: dict[str, float] = {}
        self._watch = Stopwatch()
        self._memory = HostMemory()
        self._saved_at = -1
        self._evaluations = EvaluationSchedule(job.spec)
        self._version = -1
        self._rollout = 0  # batches trained on
        self._unrecorded: dict[str, float] | None = None  # metrics of the last batch

    def run(self) -> None:
        """Trains to the end or until asked to stop; either way leaves a complete checkpoint.

        A job without a batch to train on evaluates, and leaves neither checkpoint nor model.

        Raises:
            UsageError: such a job began in the directory of a run that has trained.
        """
        trains = self._spec.schedule.trains
        self._start(self._rank0(self._checkpoints.newest))
        try:
            self._publish(self._at_desk(lambda desk: desk.exchange.first_version))
            self._evaluate()
            self._watch.read()  # the wait for the first engine is not part of a batch's time
            self._train()
            self._check_probe(wait=True)
            if trains:
                self._learner.policy.save_huggingface(self._output)
            self._saver.finish()
            self._finish("succeeded")
        except StoppedError:
            self._record()
            self._save(when=trains and self._rollout > self._saved_at)
            self._saver.finish()
            self._finish("stopped")

    def _train(self) -> None:
        schedule = self._spec.schedule
        while not self._is_done():
            self._step(self._score(self._collect()))
            if self._is_due(schedule.update_weights_interval):
                self._publish(self._version + 1)
            self._record()
            self._evaluate()
            self._saver.check()
            self._save(when=self._is_due(schedule.save_interval) or self._is_done())

    def _is_due(self, interval: int | None) -> bool:
        return interval is not None and self._rollout % interval == 0

    def _is_done(self) -> bool:
        schedule = self._spec.schedule
        if self._rollout >= schedule.rollouts:
            return True
        target = schedule.target_reward
        if target is None:
            return False
        recent = self._at_desk(lambda desk: desk.recorder.recent_reward)
        return recent is not None and recent >= target

    def _start(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint and not self._spec.schedule.trains:
            raise UsageError(
                f"spec.schedule.rollouts: found 0, allowed at least 1 ({checkpoint.path} was "
                "saved by training; evaluate it in a run directory of its own)"
            )
        state = self._rank0(checkpoint.state) if checkpoint else None
        if checkpoint and state:
            self._learner.load(checkpoint.path)
            self._rollout = self._saved_at = checkpoint.rollout
            self._evaluations.load(state["evaluated_at"])
            log.info("run.resumed", checkpoint=checkpoint.path.name)
        damaged = self._checkpoints.damaged
        self._at_desk(lambda desk: desk.start(self._rollout, state, damaged))
        self._at_desk(lambda desk: desk.health.mismatch(self._bound))

    def _collect(self) -> RolloutBatch:
        def collect() -> dict[str, Tensor]:
            assert self._desk is not None
            return self._desk.collect().arrays

        with self._watch.stage("wait"):
            return RolloutBatch(self._rank0.arrays(collect))

    def _score(self, batch: RolloutBatch) -> list[Trajectory]:
        """Computes advantages, and what they and the losses need of the models."""
        with self._watch.stage("logprob"):
            scored = self._learner.score(
                batch.trajectories(), batch.rewards, batch.groups, self._rollout
            )
        self._compare(scored)
        return scored

    def _compare(self, scored: Sequence[Trajectory]) -> None:
        """Stops the job if trainer and engine, or trainer and reference, do not agree.

        Log-probabilities that the step itself computes can be compared only after it.
        """
        if any(trajectory.trainer_log_probs is None for trajectory in scored):
            return
        if self._is_in_sync:
            check_mismatch(scored, self._version, self._bound)
        model = self._spec.model
        if self._rollout == 0 and model.reference in (None, model.checkpoint):
            check_reference(scored)

    def _step(self, trajectories: Sequence[Trajectory]) -> None:
        """Makes the batch's optimizer steps."""
        with self._watch.stage("train"):
            lesson = self._learner.learn(trajectories, self._rollout)
        if trajectories[0].trainer_log_probs is None:
            self._compare(lesson.trajectories)
        for report in lesson.steps:
            self._skipped.check(report, self._rollout + 1)
            check_limits(self._spec.algorithm.limits, report, self._rollout + 1)
        version = self._version if self._is_in_sync else None
        metrics = lesson.metrics | mismatch_metrics(lesson.trajectories, version)
        metrics |= advantage_metrics(lesson.trajectories)
        self._rollout += 1
        self._at_desk(lambda desk: desk.consume(self._rollout))
        self._unrecorded = metrics

    def _publish(self, version: int) -> None:
        """Sends the weights to the engines as `version`, each bucket as soon as it is gathered."""
        self._check_probe()
        with self._watch.stage("publish"):
            snapshot = Snapshot(version)
            self._at_desk(lambda desk: desk.publish(snapshot))
            limit = self._spec.weights.bucket_mebibytes * 2**20
            snapshot.fill(buckets(self._learner.policy.export(), limit, self._memory))
            self._at_desk(lambda desk: desk.published())
            self._ask_engines(version)
        self._version = version

    @property
    def _is_in_sync(self) -> bool:
        """Whether the engines hold the weights that the next batch is scored with.

        If not, the trainer is already ahead of the published version.
        """
        return self._rollout % self._spec.schedule.update_weights_interval == 0

    def _ask_engines(self, version: int) -> None:
        """Has the engines score a fixed sequence, which they do while training continues.

        After the first update the trainer waits for the answers, so that it never trains with a
        wrong weight conversion.
        """
        tokens = self._probe
        trajectory = Trajectory(
            tokens=tokens,
            prompt_length=1,
            loss_mask=torch.ones(len(tokens) - 1),
            rollout_log_probs=torch.zeros(len(tokens) - 1),
        )
        # Engines score a prompt at temperature 1, whatever temperature they sample at.
        (expected,) = self._learner.log_probs([trajectory], temperature=1.0)
        is_first = self._version < 0
        self._probed = version, expected
        self._at_desk(lambda desk: desk.ask_engines(tokens))
        if is_first:
            self._check_probe(wait=True)

    def _check_probe(self, *, wait: bool = False) -> None:
        """Checks the engines' answers, if there are any; the batch's metrics include the result."""
        answers = self._at_desk(lambda desk: desk.engines_answers(wait=wait))
        if self._probed is not None and answers is not None:
            version, expected = self._probed
            self._probe_report = check_probe(answers, expected, version, self._bound)

    def _evaluate(self) -> None:
        """Runs the evaluations that are due."""
        for name in self._evaluations.due(self._rollout, is_done=self._is_done()):
            self._evaluate_set(name)

    def _evaluate_set(self, name: str) -> None:
        with self._watch.stage("evaluate"):
            self._at_desk(lambda desk: desk.evaluate(name, self._rollout))
        self._evaluations.evaluated(name, self._rollout)

    def _record(self) -> None:
        """Records the last batch's metrics. Its times start at the previous record."""
        if self._unrecorded is None:
            return
        metrics = self._unrecorded | self._probe_report
        self._unrecorded = None
        seconds = self._watch.read()
        self._at_desk(lambda desk: desk.record(self._rollout, metrics, seconds))

    def _save(self, *, when: bool) -> None:
        """Begins a checkpoint, which is written while training continues.

        Raises:
            OSError: it, or the previous one, cannot be written, e.g. because the disk is full;
                earlier checkpoints stay whole.
        """
        if not when:
            return
        with self._watch.stage("save"):
            self._saver.begin(self._rollout, self._state)
        self._saved_at = self._rollout

    def _state(self) -> bytes:
        assert self._desk is not None
        return pack({"evaluated_at": self._evaluations.save(), **self._desk.save()})

    def _finish(self, state: str) -> None:
        self._at_desk(lambda desk: desk.finish(state, self._rollout))

    def _at_desk(self, work: Callable[[Desk], T]) -> T:
        """Runs `work` at rank 0's desk; all ranks get its result or its exception."""

        def on_rank0() -> T:
            assert self._desk is not None
            return work(self._desk)

        return self._rank0(on_rank0)
