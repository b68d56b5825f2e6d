"""A task on disk, and runs that leave nothing behind."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.job import Run, manifest, write_task


@pytest.fixture(scope="session")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sorting task."""
    return write_task(tmp_path_factory.mktemp("task") / "sort")


@pytest.fixture
def new_run(task: Path, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Makes runs of small jobs: `new_run("name", schedule__rollouts=3)`."""
    runs: list[Run] = []

    def make(name: str, **changes: Any) -> Run:
        runs.append(Run(tmp_path / name, manifest(task, name=name, **changes)))
        return runs[-1]

    yield make
    for run in runs:
        run.kill()
