"""The contents of pyproject.toml and requirements/, as values."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]

# The folders whose code an extra is for; "" is what every installation gets.
FOLDERS = {
    "": ("rljob",),
    "operator": ("operator",),
    "trainer": ("trainer_image",),
    "wandb": ("trainer_image",),
    "rollout": ("rollout_image",),
    "dev": ("tests", "benchmarks", "examples", "helm"),
}

# Extras that the code of another one uses where a job asks for it.
BESIDE = {"trainer": ("trainer", "wandb"), "wandb": ("trainer", "wandb")}


@dataclass(frozen=True)
class Dependency:
    """A line of pyproject.toml."""

    extra: str
    requirement: Requirement
    reason: str

    def __str__(self) -> str:
        return f"{self.extra or 'all'}: {self.requirement.name}"


@cache
def project() -> dict[str, Any]:
    """The table `project` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


@cache
def dependencies() -> tuple[Dependency, ...]:
    """All direct dependencies, each with the comment on its line."""
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    by_extra = {"": project()["dependencies"], **project()["optional-dependencies"]}
    return tuple(
        Dependency(extra, Requirement(text), _reason(lines, text))
        for extra, texts in by_extra.items()
        for text in texts
    )


def _reason(lines: list[str], text: str) -> str:
    """The comment behind a dependency; one that several extras name may differ, so all are."""
    comments = [line.partition(f'"{text}",')[2] for line in lines if f'"{text}",' in line]
    reasons = [comment.strip().removeprefix("#").strip() for comment in comments]
    return min(reasons, key=len)


@cache
def locked(name: str) -> dict[str, set[Version]]:
    """Versions by package in requirements/NAME.txt; several where they differ by platform."""
    found: dict[str, set[Version]] = {}
    for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[.*\])?==([^ ;]+)", line)
        if match:
            found.setdefault(canonicalize_name(match[1]), set()).add(Version(match[2]))
    return found
