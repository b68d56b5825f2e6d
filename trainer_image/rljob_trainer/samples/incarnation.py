"""The last incarnation of a run, stored where it outlives the buffer."""

from pathlib import Path


class IncarnationFile:
    """Keeps the count, so that a lost buffer does not restart it from 0."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / "incarnation"

    def read(self) -> int:
        """The last incarnation written; 0 if there is none."""
        return int(self._path.read_text()) if self._path.exists() else 0

    def write(self, incarnation: int) -> None:
        """Records the current incarnation."""
        partial = self._path.with_suffix(".partial")
        partial.write_text(f"{incarnation}\n")
        partial.rename(self._path)  # atomic: a trainer that is killed leaves the old one or this
