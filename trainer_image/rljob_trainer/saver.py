"""Saving: a checkpoint is captured between two steps and written while training goes on."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import structlog

from rljob_trainer.checkpoint import Checkpoints
from rljob_trainer.collective import Rank0
from rljob_trainer.megatron.policy import Policy

log = structlog.get_logger()


class Saver:
    """Writes one checkpoint at a time. Every rank makes the same calls."""

    def __init__(self, checkpoints: Checkpoints, policy: Policy, rank0: Rank0) -> None:
        self._checkpoints = checkpoints
        self._policy = policy
        self._rank0 = rank0
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._rollout = 0  # of the one that is being written
        self._partial = Path()
        self._written: Future[None] | None = None

    def begin(self, rollout: int, state: Callable[[], bytes]) -> None:
        """Captures everything as it is now and has it written; waits for the one before.

        Args:
            rollout: batches trained on.
            state: gives the conductor's, packed; called on rank 0.

        Raises:
            OSError: the one before, or the beginning of this one, can't be written.
        """
        self.finish()
        self._rollout = rollout
        packed = b""

        def start() -> Path:
            nonlocal packed
            packed = state()
            return self._checkpoints.begin(rollout)

        try:
            self._partial = self._rank0(start)
            write = self._policy.capture(self._checkpoints.model_path(self._partial))
        except OSError as error:
            raise self._failed(error) from error

        def write_all() -> None:
            write()
            if self._rank0.rank == 0:  # whose part ends when all ranks have written theirs
                self._checkpoints.commit(self._partial, packed)
                log.info("checkpoint.saved", rollout=rollout)

        self._written = self._executor.submit(write_all)

    def check(self) -> None:
        """Sees whether a write that goes on has failed.

        Raises:
            OSError: it has, e.g. the disk is full; the checkpoints before it are whole.
        """
        if self._written is None:
            return
        done = self._rank0(lambda: self._written is not None and self._written.done())
        if done:
            self.finish()

    def finish(self) -> None:
        """Waits until nothing is being written.

        Raises:
            OSError: as `check`.
        """
        if self._written is None:
            return
        written, self._written = self._written, None
        try:
            self._rank0(written.result)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> OSError:
        if self._rank0.rank == 0:
            self._checkpoints.discard(self._partial)
        return OSError(
            f"cannot save the checkpoint of batch {self._rollout}: {error}; the same command "
            "resumes the run from the one before"
        )
