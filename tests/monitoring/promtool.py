"""Prometheus' own checker of rules."""

import subprocess

from tests.cluster.binaries import binaries


def promtool(*arguments: str) -> str:
    """Its output; AssertionError with all it wrote if it found something wrong."""
    result = subprocess.run(
        [binaries(("promtool",))["promtool"], *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
