"""Where programs of the control plane are looked up, and what a failed build reports."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import go
from tests.cluster.binaries import CONTROL_PLANE, PROGRAMS, VERSION

ANSWERS = {
    "etcd": "etcd Version: 3.6.5",
    "kube-apiserver": "Kubernetes v1.35.1",
    "kube-controller-manager": "Kubernetes v1.35.4",
    "kube-scheduler": "Kubernetes v1.35.1",
    "kubectl": "Client Version: v1.35.1",
    "kwok": "kwok version v0.7.0 go1.26.8 (linux/amd64)",
    "helm": "v3.19.0+g3d8990f",
    "prometheus": "prometheus, version 3.11.0 (branch: HEAD, revision: 6e3f0a1)",
    "promtool": "promtool, version 3.11.0 (branch: HEAD, revision: 6e3f0a1)",
}
# These are not looked for elsewhere.
BUILT = [name for name in CONTROL_PLANE if not PROGRAMS[name].expected]


class Machine:
    """A machine with a cache and a PATH of its own."""

    def __init__(self, directory: Path) -> None:
        self.assets, self.path, self.cache = (directory / n for n in ("assets", "path", "cache"))
        self.built = self.cache / "rljob" / "kubernetes" / VERSION
        self.assets.mkdir()
        self.path.mkdir()

    def find(self) -> "subprocess.CompletedProcess[str]":
        environment = {
            **os.environ,
            "KUBEBUILDER_ASSETS": str(self.assets),
            "PATH": f"{self.path}:/usr/bin:/bin",
            "XDG_CACHE_HOME": str(self.cache),
        }
        command = [sys.executable, "-m", "tests.cluster.binaries"]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    def go(self, build: str) -> None:
        """A toolchain that is new enough; `build` is the script of its build."""
        script(self.path / "go", f'if [ "$1" = env ]; then echo go1.26.0; exit; fi\n{build}')


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """With all programs in PATH, and in the cache what is only built."""
    machine = Machine(tmp_path)
    machine.built.mkdir(parents=True)
    for name in BUILT:
        (machine.built / name).touch()
        module = PROGRAMS[name].module
        shutil.copy(go.TOOLS / module / "go.mod", machine.built / f"{module}.mod")
    for name, answer in ANSWERS.items():
        script(machine.path / name, f"echo '{answer}'")
    return machine


def test_the_assets_come_before_the_path(machine: Machine) -> None:
    script(machine.assets / "etcd", f"echo '{ANSWERS['etcd']}'")
    found = machine.find().stdout.splitlines()
    assert str(machine.assets / "etcd") in found
    assert str(machine.path / "kubectl") in found


def test_another_version_is_passed_over(machine: Machine) -> None:
    script(machine.assets / "kube-apiserver", "echo 'Kubernetes v1.34.2'")
    assert str(machine.path / "kube-apiserver") in machine.find().stdout.splitlines()


def test_what_is_missing_is_built_once(machine: Machine) -> None:
    (machine.path / "etcd").unlink()
    calls = machine.cache / "calls"
    machine.go(f"""echo called >> {calls}
for argument; do case $argument in -o=*) touch "${{argument#-o=}}/server";; esac; done""")
    for _ in range(2):
        assert str(machine.built / "etcd") in machine.find().stdout.splitlines()
    assert calls.read_text().splitlines() == ["called"]


def test_what_was_built_from_another_module_is_built_again(machine: Machine) -> None:
    (machine.path / "etcd").unlink()
    (machine.built / "etcd").touch()
    (machine.built / "kubernetes.mod").write_text("another")
    machine.go("echo built anew >&2; exit 1")
    assert "built anew" in machine.find().stderr


def test_a_failed_build_says_why(machine: Machine) -> None:
    (machine.path / "kwok").unlink()
    machine.go("echo 'kwok.go:1: undefined: kwok' >&2; exit 2")
    found = machine.find()
    assert found.returncode != 0
    assert "building kwok failed:\nkwok.go:1: undefined: kwok" in found.stderr
    assert not (machine.built / "kwok").exists()


def test_every_program_is_known_here() -> None:
    assert {*ANSWERS, *BUILT} == set(CONTROL_PLANE)
