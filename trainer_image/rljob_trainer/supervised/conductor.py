"""The loop of supervised fine-tuning: collect, step, record, save."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog
from torch import Tensor

from rljob.api import RLJob
from rljob_trainer.checkpoints.checkpoint import Checkpoint, Checkpoints, pack
from rljob_trainer.checkpoints.saver import Saver
from rljob_trainer.learning.supervised_learner import SupervisedLearner
from rljob_trainer.process.collective import Rank0
from rljob_trainer.process.stop import StoppedError
from rljob_trainer.supervised.desk import SupervisedDesk
from rljob_trainer.supervised.example_batch import ExampleBatch
from rljob_trainer.telemetry.limits import check_limits
from rljob_trainer.telemetry.skipped import SkippedSteps
from rljob_trainer.telemetry.stopwatch import Stopwatch

log = structlog.get_logger()

T = TypeVar("T")


class SupervisedConductor:
    """Runs a job from its first batch, or its last checkpoint, to its end.

    As in `Conductor`, every rank runs the same loop, and what is done once happens at the desk.
    """

    def __init__(
        self,
        job: RLJob,
        *,
        learner: SupervisedLearner,
        rank0: Rank0,
        desk: SupervisedDesk | None,
        checkpoints: Checkpoints,
        output: Path,
    ) -> None:
        """`output` is the directory for the trained model, in Hugging Face format."""
        self._spec = job.spec
        self._learner = learner
        self._rank0 = rank0
        self._desk = desk
        self._checkpoints = checkpoints
        saved = desk.health.saved if desk is not None else lambda: None
        self._saver = Saver(checkpoints, learner.captures, rank0, saved)
        self._output = output
        self._skipped = SkippedSteps(is_first_rank=rank0.rank == 0)
        self._watch = Stopwatch()
        self._rollout = 0  # batches trained on
        self._saved_at = -1

    def run(self) -> None:
        """Trains to the end or until asked to stop; either way leaves a complete checkpoint."""
        self._start(self._rank0(self._checkpoints.newest))
        schedule = self._spec.schedule
        try:
            self._watch.read()  # the start is not part of a batch's time
            while self._rollout < schedule.rollouts:
                self._step(self._collect())
                self._saver.check()
                done = self._rollout == schedule.rollouts
                self._save(when=done or self._rollout % schedule.save_interval == 0)
            self._learner.policy.save_huggingface(self._output)
            self._saver.finish()
            self._finish("succeeded")
        except StoppedError:
            self._save(when=self._rollout > self._saved_at)
            self._saver.finish()
            self._finish("stopped")

    def _start(self, checkpoint: Checkpoint | None) -> None:
        state = self._rank0(checkpoint.state) if checkpoint else None
        if checkpoint and state:
            self._learner.load(checkpoint.path)
            self._rollout = self._saved_at = checkpoint.rollout
            log.info("run.resumed", checkpoint=checkpoint.path.name)
        damaged = self._checkpoints.damaged
        self._at_desk(lambda desk: desk.start(self._rollout, state, damaged))

    def _collect(self) -> ExampleBatch:
        def collect() -> dict[str, Tensor]:
            assert self._desk is not None
            return self._desk.collect().arrays

        with self._watch.stage("wait"):
            return ExampleBatch(self._rank0.arrays(collect))

    def _step(self, batch: ExampleBatch) -> None:
        """Makes the batch's optimizer steps, and records it."""
        with self._watch.stage("train"):
            lesson = self._learner.learn(batch.trajectories(), self._rollout)
        for report in lesson.steps:
            self._skipped.check(report, self._rollout + 1)
            check_limits(self._spec.algorithm.limits, report, self._rollout + 1)
        self._rollout += 1
        seconds = self._watch.read()
        self._at_desk(lambda desk: desk.record(self._rollout, lesson.metrics, seconds))

    def _save(self, *, when: bool) -> None:
        """Begins a checkpoint, with the errors of `Saver.begin`."""
        if not when:
            return
        with self._watch.stage("save"):
            self._saver.begin(self._rollout, self._state)
        self._saved_at = self._rollout

    def _state(self) -> bytes:
        assert self._desk is not None
        return pack(self._desk.save())

    def _finish(self, state: str) -> None:
        self._at_desk(lambda desk: desk.finish(state, self._rollout))

    def _at_desk(self, work: Callable[[SupervisedDesk], T]) -> T:
        """Runs `work` at rank 0's desk; all ranks get its result or its exception."""

        def on_rank0() -> T:
            assert self._desk is not None
            return work(self._desk)

        return self._rank0(on_rank0)
