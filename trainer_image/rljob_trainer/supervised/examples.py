"""Draws the batches of a supervised run from its data."""

from typing import Any

from rljob_trainer.data.source import Prompt, PromptSource, Skipped


class Examples:
    """Batches of prompts with answers, in the source's order; what can't be used is passed over.

    Nothing is drawn ahead: the cursor that is saved after a batch is exactly behind it.
    """

    def __init__(self, source: PromptSource, size: int) -> None:
        """`size` is that of a batch."""
        self._source = source
        self._size = size
        self.skipped: list[str] = []  # why prompts were passed over in the last batch

    def take(self) -> list[Prompt]:
        """The next batch.

        Raises:
            UsageError: too many prompts were bad, or too long.
        """
        taken: list[Prompt] = []
        self.skipped = []
        while len(taken) < self._size:
            for _, drawn in self._source.draw(self._size - len(taken)):
                if isinstance(drawn, Skipped):
                    self.skipped.append(drawn.reason)
                else:
                    taken.append(drawn)
        return taken

    def metrics(self) -> dict[str, float]:
        """How far the data is drawn, and what was passed over, since the run began."""
        counts = self._source.bad_share
        found = {"data/skipped": float(self._source.skipped + counts.bad)}
        if self._source.prompts is not None:
            found["data/epoch"] = counts.drawn / self._source.prompts
        return found

    def save(self) -> dict[str, Any]:
        """The cursor, for a checkpoint."""
        return self._source.save()

    def load(self, cursor: dict[str, Any]) -> None:
        """Continues from a cursor, as `PromptSource.load`."""
        self._source.load(cursor)

    def close(self) -> None:
        """Releases processes and files."""
        self._source.close()
