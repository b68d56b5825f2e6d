"""Watches the roles of a run to its end, whichever end that is."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rljob.cli.interruption import Interruption
from rljob.cli.local_app import Replica
from rljob.errors import EXIT_USAGE

_LOOK_SECONDS = 0.1
# The others end by themselves once the trainer has finished the run.
_FINISH_SECONDS = 30.0
# And none of them ends before. The trainer says that the run is finished before it ends itself.
_EARLY_SECONDS = 60.0

TRAINER = "trainer"


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Args:
        kind: ended: the trainer has, by itself; interrupted: by the user; failed: `replica` has
            ended with `code`, the cause of it all.
    """

    kind: Literal["ended", "interrupted", "failed"]
    replica: Replica | None = None
    code: int = 0


class Supervisor:
    """Looks at the processes and never waits for anything without a limit."""

    def __init__(
        self,
        replicas: Sequence[Replica],
        interruption: Interruption,
        look: Callable[[], None],
        *,
        finish_seconds: float = _FINISH_SECONDS,
        early_seconds: float = _EARLY_SECONDS,
    ) -> None:
        """
        Args:
            replicas: of the started app.
            interruption: the user's wish.
            look: called several times a second, to show progress.
            finish_seconds: for the other roles, once the trainer has ended.
            early_seconds: for the trainer, once another role has ended.
        """
        self._replicas = replicas
        self._interruption = interruption
        self._look = look
        self._finish_seconds = finish_seconds
        self._early_seconds = early_seconds
        self._ended: dict[Replica, float] = {}

    def watch(self) -> Ending:
        """Returns when the run has ended or has to be ended; the app is still to be stopped."""
        while True:
            ending = self._ending(time.monotonic())
            if ending is not None:
                return ending
            self._look()
            time.sleep(_LOOK_SECONDS)

    def _ending(self, now: float) -> Ending | None:
        if self._interruption.requested:
            return Ending("interrupted")
        codes = {replica: replica.process.poll() for replica in self._replicas}
        failed = [replica for replica, code in codes.items() if code not in (None, 0)]
        if failed:
            # The user's mistake is the reason for the others, where several have failed at once.
            cause = min(failed, key=lambda replica: codes[replica] != EXIT_USAGE)
            return Ending("failed", cause, codes[cause] or 0)
        for replica, code in codes.items():
            if code == 0:
                self._ended.setdefault(replica, now)
        if len(self._ended) == len(codes):
            return Ending("ended")
        trainers = [replica for replica in codes if replica.role == TRAINER]
        if all(replica in self._ended for replica in trainers):
            last = max(self._ended[replica] for replica in trainers)
            return Ending("ended") if now - last > self._finish_seconds else None
        early = [
            replica
            for replica, since in self._ended.items()
            if replica.role != TRAINER and now - since > self._early_seconds
        ]
        return Ending("failed", early[0], 0) if early else None
