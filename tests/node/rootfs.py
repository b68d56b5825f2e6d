"""The distribution's files that the images of the roles stand on: Debian, made by debootstrap."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.node.command import run

# What Python, torch and SGLang load, and Debian's own Python, which the real images use.
_PACKAGES = (
    "python3-venv,libbz2-1.0,libffi8,libgomp1,liblzma5,libncursesw6,libnuma1,libreadline8,"
    "libsqlite3-0,libssl3,libstdc++6,zlib1g"
)
_SUITE = "bookworm"
_USELESS = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man")


@cache
def image() -> Path:
    """An uncompressed tar of the root file system; made once, in the user's cache."""
    key = hashlib.sha256(f"{_SUITE} {_PACKAGES}".encode()).hexdigest()[:12]
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rljob" / "node"
    path = base / f"rootfs-{key}.tar"
    if not path.exists():
        print("making a root file system by debootstrap: a minute, once", file=sys.stderr)
        base.mkdir(parents=True, exist_ok=True)
        _make(base / f"rootfs-{key}", path)
    return path


def _make(directory: Path, tar: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    try:
        options = ("--variant=minbase", f"--include={_PACKAGES}")
        run("debootstrap", *options, _SUITE, directory, *_mirror())
        for name in _USELESS:
            shutil.rmtree(directory / name, ignore_errors=True)
        unfinished = tar.with_suffix(".new")
        run("tar", "-C", directory, "--numeric-owner", "--sort=name", "-cf", unfinished, ".")
        unfinished.rename(tar)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _mirror() -> list[str]:
    """The one that this machine's apt uses; none, for debootstrap's default, where it has none."""
    told = subprocess.run(
        ["apt-cache", "policy"], capture_output=True, text=True, check=False
    ).stdout
    found = re.search(rf"(\S+://\S+) {_SUITE}/main", told)
    return [found[1]] if found is not None else []
