"""The limit on the share of bad prompts in a run."""

from typing import Any

import structlog

from rljob.errors import UsageError

log = structlog.get_logger()

_FEW = 100  # prompts; among fewer, a share says little


class BadShare:
    """Counts the prompts that were drawn, and the bad ones among them.

    One bad line must not end a run after days; but bad data must not go unnoticed.
    """

    def __init__(self, most: float) -> None:
        """`most` is `spec.data.maxBadShare`."""
        self._most = most
        self.drawn = 0
        self.bad = 0

    def add(self, reason: str) -> None:
        """Counts a bad prompt.

        Raises:
            UsageError: there are too many.
        """
        self.bad += 1
        log.warning("prompt.bad", reason=reason)
        allowed = self._most * max(self.drawn, _FEW)
        if self.bad > allowed:
            if self._most == 0:
                raise UsageError(f"{reason} (spec.data.maxBadShare is 0)")
            raise UsageError(
                f"{reason}; it is bad prompt number {self.bad} of {self.drawn} drawn, allowed "
                f"{int(allowed)} (spec.data.maxBadShare: {self._most:g})"
            )

    def save(self) -> dict[str, Any]:
        """The counts, for a checkpoint."""
        return {"drawn": self.drawn, "bad": self.bad}

    def load(self, saved: dict[str, Any]) -> None:
        """Continues from a checkpoint's counts."""
        self.drawn, self.bad = saved["drawn"], saved["bad"]
