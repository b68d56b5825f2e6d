"""The lock files match pyproject.toml, with hashes, and name no particular registry."""

import re
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


def test_every_extra_is_locked() -> None:
    assert set().union(*EXTRAS.values()) == set(project()["optional-dependencies"])


@pytest.mark.parametrize(
    ("lock", "dependency"),
    [
        pytest.param(lock, dependency, id=f"{lock}, {dependency}")
        for lock, extras in EXTRAS.items()
        for dependency in dependencies()
        if dependency.extra in {"", *extras}
    ],
)
def test_it_holds_a_version_that_is_allowed(lock: str, dependency: Dependency) -> None:
    versions = locked(lock)[canonicalize_name(dependency.requirement.name)]
    assert all(dependency.requirement.specifier.contains(version) for version in versions)


@pytest.mark.parametrize("lock", [*EXTRAS, "uv"])
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


def test_a_cpu_gets_no_kernels_for_gpus_and_the_rollout_image_does() -> None:
    assert not locked("cpu").keys() & FOR_GPUS
    assert locked("rollout").keys() >= FOR_GPUS
