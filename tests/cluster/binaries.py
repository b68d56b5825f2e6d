"""The programs of the test clusters: found, or built from the modules of `tools`."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.cluster import go

VERSION = "1.35.1"  # of Kubernetes, as tools/kubernetes/go.mod has it
_LAST_LINES = 30
_FLAGS = " ".join(
    [
        "-s -w",
        f"-X k8s.io/component-base/version.gitVersion=v{VERSION}",
        "-X k8s.io/component-base/version.gitMajor=1",
        "-X k8s.io/component-base/version.gitMinor=35",
    ]
)
# Prometheus without the clouds' service discovery: their libraries take most of an hour to build.
_TAGS = "-tags=remove_all_sd"


@dataclass(frozen=True)
class Program:
    """One program, and how to tell whether one that is found will do."""

    module: str  # a folder of `tools`
    package: str
    version: tuple[str, ...] = ()
    expected: str = ""  # a part of its answer to `version`; "": only what was built here will do


PROGRAMS = {
    "etcd": Program(
        "kubernetes", "go.etcd.io/etcd/server/v3", ("--version",), "etcd Version: 3.6."
    ),
    **{
        name: Program("kubernetes", f"k8s.io/kubernetes/cmd/{name}", arguments, " v1.35.")
        for name, arguments in {
            "kube-apiserver": ("--version",),
            "kube-controller-manager": ("--version",),
            "kube-scheduler": ("--version",),
            "kubectl": ("version", "--client"),
        }.items()
    },
    "kwok": Program("kwok", "sigs.k8s.io/kwok/cmd/kwok", ("--version",), " v0.7."),
    "helm": Program("helm", "helm.sh/helm/v3/cmd/helm", ("version", "--short"), "v3.19."),
    **{
        name: Program(
            "prometheus",
            f"github.com/prometheus/prometheus/cmd/{name}",
            ("--version",),
            f"{name}, version 3.11.",
        )
        for name in ("prometheus", "promtool")
    },
    "helm-unittest": Program("helm", "github.com/helm-unittest/helm-unittest/cmd/helm-unittest"),
    **{
        name: Program("node", f"k8s.io/kubernetes/cmd/{name}", ("--version",), " v1.35.")
        for name in ("kubelet", "kube-proxy")
    },
    **{
        name: Program("images", f"rljob.dev/tests/cluster/tools/images/{name}")
        for name in ("coredns", "pause")
    },
}
NODE = ("kubelet", "kube-proxy", "coredns", "pause")
CONTROL_PLANE = tuple(name for name in PROGRAMS if name not in NODE)


@cache
def binaries(names: tuple[str, ...] = CONTROL_PLANE) -> dict[str, Path]:
    """The path of every program; those found nowhere are built, which takes minutes.

    They are looked for in KUBEBUILDER_ASSETS, in PATH and in the cache, in this order; one of
    another version is passed over.

    Args:
        names: `CONTROL_PLANE`, or with `NODE` also what a real node runs.

    Raises:
        RuntimeError: the build failed; its last lines are in the message.
    """
    if missing(names):
        with _lock():
            for module in sorted({PROGRAMS[name].module for name in missing(names)}):
                _build(module, [name for name in missing(names) if PROGRAMS[name].module == module])
    return {name: _found(name) for name in names}


def missing(names: tuple[str, ...] = CONTROL_PLANE) -> list[str]:
    """The programs that need to be built."""
    return [name for name in names if _find(name) is None]


def cache_directory() -> Path:
    """Where programs that were built are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "rljob" / "kubernetes" / VERSION


def _found(name: str) -> Path:
    path = _find(name)
    assert path is not None, name
    return path


def _find(name: str) -> Path | None:
    program = PROGRAMS[name]
    if program.expected and (found := _find_elsewhere(name, program)) is not None:
        return found
    built = cache_directory() / name
    return built if built.exists() and _is_current(program.module) else None


def _find_elsewhere(name: str, program: Program) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    for place in (shutil.which(name, path=assets) if assets else None, shutil.which(name)):
        if place is not None and _fits(place, program):
            return Path(place)
    return None


@cache
def _fits(place: str, program: Program) -> bool:
    result = subprocess.run(
        [place, *program.version], capture_output=True, text=True, timeout=60, check=False
    )
    return program.expected in result.stdout


def _is_current(module: str) -> bool:
    """Whether what is in the cache was built from the module as it is now."""
    built = cache_directory() / f"{module}.mod"
    return built.exists() and built.read_bytes() == (go.TOOLS / module / "go.mod").read_bytes()


@contextmanager
def _lock() -> Iterator[None]:
    """Only one process builds; the others find what it has built."""
    cache_directory().mkdir(parents=True, exist_ok=True)
    with (cache_directory() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(module: str, names: list[str]) -> None:
    print(f"building {', '.join(names)}: takes minutes, once", file=sys.stderr, flush=True)
    directory = cache_directory()
    if not _is_current(module):
        for name, program in PROGRAMS.items():
            if program.module == module:
                (directory / name).unlink(missing_ok=True)
        shutil.copy(go.TOOLS / module / "go.mod", directory / f"{module}.mod")
    unfinished = directory / "unfinished"
    unfinished.mkdir(exist_ok=True)
    packages = [PROGRAMS[name].package for name in names]
    toolchain = str(go.find(directory.parent))
    flags = ["-trimpath", "-buildvcs=false", _TAGS, f"-ldflags={_FLAGS}", f"-o={unfinished}"]
    result = subprocess.run(
        ["nice", toolchain, "build", *flags, *packages],
        cwd=go.TOOLS / module,
        env=_environment(),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        lines = result.stderr.splitlines()[-_LAST_LINES:]
        raise RuntimeError("\n".join([f"building {', '.join(names)} failed:", *lines]))
    for name in names:
        (unfinished / _file(PROGRAMS[name].package)).rename(directory / name)


def _file(package: str) -> str:
    """What go calls a program: the last part of its package that is not a version."""
    return re.sub(r"/v\d+$", "", package).rpartition("/")[2]


def _environment() -> dict[str, str]:
    """go.sum is complete: modules are checked against it, and no checksum database is asked."""
    own = {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly",
        "GOSUMDB": "off",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    return {**os.environ, **own}


if __name__ == "__main__":
    for path in binaries().values():
        print(path)
