"""Watches the roles of a run to its end, whichever end that is."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from rljob.cli.interruption import Interruption
from rljob.cli.local_app import Replica
from rljob.cli.restart import TRAINER
from rljob.errors import EXIT_USAGE

_LOOK_SECONDS = 0.1
# The others end by themselves once the trainer has finished the run.
_FINISH_SECONDS = 30.0
# And none of them ends before. The trainer says that the run is finished before it ends itself.
_EARLY_SECONDS = 60.0


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


class Recovery(Protocol):
    """What is done about a failed replica."""

    def delay(self, replica: Replica, code: int) -> float | None:
        """Seconds until it is to be started again; None: the run has failed."""

    def restart(self, replica: Replica) -> Replica:
        """Starts it again."""


class Supervisor:
    """Looks at the processes and never waits for anything without a limit."""

    def __init__(
        self,
        replicas: Sequence[Replica],
        interruption: Interruption,
        look: Callable[[], None],
        recovery: Recovery,
        *,
        finish_seconds: float = _FINISH_SECONDS,
        early_seconds: float = _EARLY_SECONDS,
    ) -> None:
        """
        Args:
            replicas: of the started app.
            interruption: the user's wish.
            look: called several times a second, to show progress.
            recovery: asked once for each replica that fails.
            finish_seconds: for the other roles, once the trainer has ended.
            early_seconds: for the trainer, once another role has ended.
        """
        self._replicas = list(replicas)
        self._interruption = interruption
        self._look = look
        self._recovery = recovery
        self._finish_seconds = finish_seconds
        self._early_seconds = early_seconds
        self._ended: dict[Replica, float] = {}
        self._restarts: dict[Replica, float] = {}  # when each is due

    def watch(self) -> Ending:
        """Returns when the run has ended or has to be ended; the app is still to be stopped."""
        while True:
            now = time.monotonic()
            ending = self._ending(now)
            if ending is not None:
                return ending
            self._restart(now)
            self._look()
            time.sleep(_LOOK_SECONDS)

    def _ending(self, now: float) -> Ending | None:
        if self._interruption.requested:
            return Ending("interrupted")
        codes = {replica: replica.process.poll() for replica in self._replicas}
        for replica, code in codes.items():
            if code == 0 or (code is not None and self._trainer_has_ended):
                self._ended.setdefault(replica, now)
        failed = [
            replica
            for replica, code in codes.items()
            if code is not None and replica not in self._ended
        ]
        # The user's mistake is the reason for the others, where several have failed at once.
        failed.sort(key=lambda replica: codes[replica] != EXIT_USAGE)
        for replica in failed:
            if replica not in self._restarts:
                delay = self._recovery.delay(replica, codes[replica] or 0)
                if delay is None:
                    return Ending("failed", replica, codes[replica] or 0)
                self._restarts[replica] = now + delay
        return self._ending_in_order(now)

    @property
    def _trainer_has_ended(self) -> bool:
        """Well: what fails after that, or is not there, is not needed any more."""
        return all(replica in self._ended for replica in self._replicas if replica.role == TRAINER)

    def _ending_in_order(self, now: float) -> Ending | None:
        if len(self._ended) == len(self._replicas):
            return Ending("ended")
        if self._trainer_has_ended:
            last = max(since for each, since in self._ended.items() if each.role == TRAINER)
            return Ending("ended") if now - last > self._finish_seconds else None
        early = [
            replica
            for replica, since in self._ended.items()
            if replica.role != TRAINER and now - since > self._early_seconds
        ]
        return Ending("failed", early[0], 0) if early else None

    def _restart(self, now: float) -> None:
        for replica, due in list(self._restarts.items()):
            if now >= due:
                del self._restarts[replica]
                place = self._replicas.index(replica)
                self._replicas[place] = self._recovery.restart(replica)
