"""kubectl, as users call it."""

import subprocess
from pathlib import Path

from tests.cluster.binaries import binaries

_SECONDS = 120


def kubectl(
    config: Path, *arguments: str | Path, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs it as the user of a kubeconfig; that it fails is for the caller to judge."""
    return subprocess.run(
        [binaries()["kubectl"], "--kubeconfig", config, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=_SECONDS,
        check=False,
    )
