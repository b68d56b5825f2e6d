"""Warnings of a run that goes wrong without a limit being reached. Never a stop."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from rljob_trainer.telemetry.entropy_collapse import EntropyCollapse
from rljob_trainer.telemetry.reward_collapse import RewardCollapse

log = structlog.get_logger()


class Collapse:
    """Watches entropy and reward; each warning is one incident of the run. Lives on rank 0."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        """`tell` takes an incident's event and message."""
        self._tell = tell
        self._watched: dict[str, EntropyCollapse | RewardCollapse] = {
            "entropy": EntropyCollapse(),
            "reward": RewardCollapse(),
        }

    def batch(self, rollout: int, metrics: Mapping[str, float]) -> None:
        """Looks at the metrics of a batch, numbered from 1."""
        for name, one in self._watched.items():
            message = one.check(rollout, metrics)
            if message is not None:
                log.warning(f"{name}.collapsed", message=message)
                self._tell(f"{name}.collapsed", message)

    def save(self) -> dict[str, Any]:
        """Its part of a checkpoint."""
        return {name: one.save() for name, one in self._watched.items()}

    def load(self, saved: Mapping[str, Any] | None) -> None:
        """Continues from a checkpoint, or begins; older checkpoints hold nothing of it."""
        for name, one in self._watched.items():
            if saved is not None:
                one.load(saved[name])
