"""The lock files match pyproject.toml, with hashes, and name no particular registry."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.project.metadata import ROOT, Dependency, dependencies, locked, project

EXTRAS = {
    "cpu": set(project()["optional-dependencies"]),
    "operator": {"operator"},
    "trainer": {"trainer"},
    "rollout": {"rollout"},
}
TENSORS = {"torch", "megatron-core", "sglang", "transformers", "triton"}
FOR_GPUS = {"sglang-kernel", "flashinfer-python", "sgl-deep-gemm", "tilelang"}
NOT_FOR_THE_OPERATOR = frozenset(
    re.findall(
        r"^([a-z0-9.-]+) ; python_version < '3'$",
        (ROOT / "requirements" / "overrides-operator.txt").read_text(),
        re.MULTILINE,
    )
)
# Imports every module of the operator, as if the modules of its arguments were not installed.
IMPORT_WITHOUT = """
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys(sys.argv[1:]))
import rljob_operator
for module in pkgutil.walk_packages(rljob_operator.__path__, "rljob_operator."):
    if not module.name.startswith("rljob_operator.crd"):  # writes the CRD in a checkout
        importlib.import_module(module.name)
"""


def test_every_extra_is_locked() -> None:
    assert set().union(*EXTRAS.values()) == set(project()["optional-dependencies"])


@pytest.mark.parametrize(
    ("lock", "dependency"),
    [
        pytest.param(lock, dependency, id=f"{lock}, {dependency}")
        for lock, extras in EXTRAS.items()
        for dependency in dependencies()
        if dependency.extra in {"", *extras}
        and not (lock == "operator" and dependency.requirement.name in NOT_FOR_THE_OPERATOR)
    ],
)
def test_it_holds_a_version_that_is_allowed(lock: str, dependency: Dependency) -> None:
    versions = locked(lock)[canonicalize_name(dependency.requirement.name)]
    assert all(dependency.requirement.specifier.contains(version) for version in versions)


@pytest.mark.parametrize("lock", [*EXTRAS, "uv", "build"])
def test_every_version_has_its_hashes(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    pinned = re.findall(r"^[A-Za-z0-9].*$", text, re.MULTILINE)
    assert pinned
    assert all("==" in line and line.endswith("\\") for line in pinned)
    assert len(re.findall(r"\\\n    --hash=sha256:[0-9a-f]{64}", text)) >= len(pinned)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "requirements").iterdir()), ids=lambda path: path.name
)
def test_no_registry_is_named(path: Path) -> None:
    text = path.read_text()
    assert "://" not in text
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host", text)


@pytest.mark.parametrize("lock", ["operator", "trainer", "rollout"])
def test_images_have_the_versions_that_the_tests_ran_with(lock: str) -> None:
    tested = locked("cpu")
    for name, versions in locked(lock).items():
        assert versions <= tested.get(name, versions), name


def test_the_operator_has_no_tensors() -> None:
    assert not locked("operator").keys() & TENSORS


def test_the_operator_needs_nothing_of_what_its_lock_leaves_out() -> None:
    assert NOT_FOR_THE_OPERATOR
    assert not locked("operator").keys() & NOT_FOR_THE_OPERATOR
    left_out = [
        module
        for module, names in packages_distributions().items()
        if NOT_FOR_THE_OPERATOR & set(map(canonicalize_name, names))
    ]
    command = [sys.executable, "-c", IMPORT_WITHOUT, *left_out]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_a_cpu_gets_no_kernels_for_gpus_and_the_rollout_image_does() -> None:
    assert not locked("cpu").keys() & FOR_GPUS
    assert locked("rollout").keys() >= FOR_GPUS
