"""The last incarnation of a run, kept where it outlives the buffer."""

from pathlib import Path


class IncarnationFile:
    """So that a buffer that was lost does not begin to count anew."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / "incarnation"

    def read(self) -> int:
        """The last one written; 0 if there is none."""
        return int(self._path.read_text()) if self._path.exists() else 0

    def write(self, incarnation: int) -> None:
        """Notes the present one."""
        partial = self._path.with_suffix(".partial")
        partial.write_text(f"{incarnation}\n")
        partial.rename(self._path)  # a trainer that is killed leaves the old one or this
