"""`python -m tests.node [pytest arguments]`: prepares what the tests need, then runs them.

They run in network, mount and process namespaces of their own. The machine's own network is not
touched, and when pytest ends, all that it started ends with it.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys

from rljob.telemetry import lifeline
from tests.cluster.binaries import CONTROL_PLANE, NODE, binaries
from tests.node import cgroups, packages, rootfs
from tests.node.place import DIRECTORY, INSIDE

_NAMESPACES = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
# The shell is the first process of the namespace: it reaps what others leave behind.
_SCRIPT = 'ip link set lo up && "$@"; exit $?'


def main() -> int:
    """Exit code of pytest."""
    if sys.platform != "linux" or os.geteuid() != 0:
        sys.exit("test-node: found no root on Linux; namespaces, mounts and cgroups need both")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    packages.install()
    binaries(CONTROL_PLANE + NODE)
    rootfs.image()
    DIRECTORY.parent.mkdir(exist_ok=True)
    with DIRECTORY.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _clean()
        DIRECTORY.mkdir()
        try:
            return _run(sys.argv[1:])
        finally:
            _clean()


def _run(arguments: list[str]) -> int:
    shell = ["unshare", *_NAMESPACES, "bash", "-c", _SCRIPT, "bash"]
    chosen = [] if "-m" in arguments else ["-m", "node and not faults"]
    pytest = [sys.executable, "-m", "pytest", *chosen, "tests/node", *arguments]
    temporary = DIRECTORY / "tmp"
    temporary.mkdir()
    environment = {**os.environ, INSIDE: "1", "TMPDIR": str(temporary)}
    return subprocess.run(
        [*shell, *pytest],
        env=environment,
        check=False,
        preexec_fn=lambda: lifeline.end_with_parent(signal.SIGKILL),
    ).returncode


def _clean() -> None:
    """Also what a run that was killed has left."""
    cgroups.remove()
    shutil.rmtree(DIRECTORY, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
