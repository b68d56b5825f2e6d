"""Supervises the roles of a run until it ends, fails or is interrupted."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from rljob.cli.interruption import Interruption
from rljob.cli.local_app import Replica
from rljob.cli.restart import TRAINER
from rljob.errors import EXIT_USAGE

_LOOK_SECONDS = 0.1
# Time for the other roles to exit by themselves once the trainer has finished the run.
_FINISH_SECONDS = 30.0
# Time for the trainer to exit once another role has: the trainer announces the end of the run
# before it exits, and the others exit only then.
_EARLY_SECONDS = 60.0


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Args:
        kind: ended: the trainer exited by itself; interrupted: by the user; failed: `replica`
            exited with `code`, which is the cause.
    """

    kind: Literal["ended", "interrupted", "failed"]
    replica: Replica | None = None
    code: int = 0


class Recovery(Protocol):
    """Decides about failed replicas, and restarts them."""

    def delay(self, replica: Replica, code: int) -> float | None:
        """Seconds until the replica is restarted; None: the run has failed."""

    def restart(self, replica: Replica) -> Replica:
        """Restart the replica."""


class Supervisor:
    """Polls the processes; every wait has a limit."""

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
            replicas: the replicas of the started app.
            interruption: whether the user wants to stop.
            look: called several times a second, to show progress.
            recovery: asked once for each replica that fails.
            finish_seconds: time for the other roles to exit once the trainer has ended.
            early_seconds: time for the trainer to exit once another role has ended.
        """
        self._replicas = list(replicas)
        self._interruption = interruption
        self._look = look
        self._recovery = recovery
        self._finish_seconds = finish_seconds
        self._early_seconds = early_seconds
        self._ended: dict[Replica, float] = {}
        self._restarts: dict[Replica, float] = {}  # time at which each is due

    def watch(self) -> Ending:
        """Return when the run has ended or must be stopped; the caller then stops the app."""
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
        # If several failed at once, a usage error is the likely cause of the others.
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
        """Whether all trainer replicas exited successfully; other roles may fail from then on."""
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
