"""A temporary directory that is removed with the process that made it, however that ends."""

import subprocess
import tempfile
from pathlib import Path

# The shell reads until its standard input closes: when the owner says so, or when it is dead.
# Programs that are dying write files for a moment longer, so removing may take more than one try.
_SCRIPT = """
read -r _
for _ in 1 2 3 4 5 6 7 8 9 10; do
  rm -rf -- "$1" 2>/dev/null && exit 0
  sleep 0.2
done
exit 1
"""


class OwnedDirectory:
    """Removed by `remove`, and also if this process is killed."""

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self._remover = subprocess.Popen(
            ["sh", "-c", _SCRIPT, "sh", str(self.path)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C at a terminal is for its owner
        )

    def remove(self) -> None:
        """Returns when the directory is gone."""
        assert self._remover.stdin is not None
        self._remover.stdin.close()
        assert self._remover.wait() == 0, f"{self.path} could not be removed"
