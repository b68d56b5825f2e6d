"""The distribution's programs that a node needs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

CNI = Path("/usr/lib/cni")
# One file of each package tells whether it is there.
_FILES = {
    "containerd": "containerd",
    "containernetworking-plugins": str(CNI / "bridge"),
    "conntrack": "conntrack",
    "debootstrap": "debootstrap",
    "iproute2": "ip",
    "iptables": "iptables",
    "runc": "runc",
}


def install() -> None:
    """Installs what is missing; ends the program with what to do where that fails."""
    missing = [name for name, file in _FILES.items() if shutil.which(file) is None]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        sys.exit(f"test-node: install {', '.join(missing)} (their names in Debian)")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
        result = subprocess.run(["apt-get", "--quiet", *command], env=environment, check=False)
        if result.returncode != 0:
            sys.exit(f"test-node: apt-get could not install {', '.join(missing)}")
