"""Saves checkpoints: captures them between two steps, writes them while training continues."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import structlog

from rljob_trainer.checkpoints.checkpoint import Checkpoints
from rljob_trainer.process.collective import Rank0

log = structlog.get_logger()

# Copies a model's training state for an empty directory; what it returns writes the copy.
Capture = Callable[[Path], Callable[[], None]]


class Saver:
    """Writes one checkpoint at a time. Every rank makes the same calls."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        captures: Mapping[str, Capture],
        rank0: Rank0,
        saved: Callable[[], None] = lambda: None,
    ) -> None:
        """Opens nothing yet.

        Args:
            checkpoints: where to.
            captures: of each trained model, by the name of its directory.
            rank0: of all ranks.
            saved: called on rank 0, from another thread, after each checkpoint.
        """
        self._checkpoints = checkpoints
        self._captures = captures
        self._rank0 = rank0
        self._saved = saved
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._rollout = 0  # of the one that is being written
        self._partial = Path()
        self._written: Future[None] | None = None

    def begin(self, rollout: int, state: Callable[[], bytes]) -> None:
        """Captures the current state and starts writing it; first waits for the previous save.

        Args:
            rollout: batches trained on.
            state: returns the conductor's state, packed; called on rank 0.

        Raises:
            OSError: the previous save, or the start of this one, has failed.
        """
        self.finish()
        self._rollout = rollout
        packed = b""

        def start() -> Path:
            nonlocal packed
            packed = state()
            return self._checkpoints.begin(rollout, self._captures)

        try:
            self._partial = self._rank0(start)
            writes = [capture(self._partial / name) for name, capture in self._captures.items()]
        except OSError as error:
            raise self._failed(error) from error

        def write_all() -> None:
            for write in writes:
                write()
            if self._rank0.rank == 0:  # their writes return once all ranks have written their parts
                self._checkpoints.commit(self._partial, packed)
                self._saved()
                log.info("checkpoint.saved", rollout=rollout)

        self._written = self._executor.submit(write_all)

    def check(self) -> None:
        """Checks whether the save in progress has failed.

        Raises:
            OSError: it has, e.g. because the disk is full; earlier checkpoints are whole.
        """
        if self._written is None:
            return
        done = self._rank0(lambda: self._written is not None and self._written.done())
        if done:
            self.finish()

    def finish(self) -> None:
        """Waits until no save is in progress.

        Raises:
            OSError: as for `check`.
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
