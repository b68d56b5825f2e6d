"""Every dependency has a stated reason, and is used by the part that declares it."""

import ast
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.project.metadata import BESIDE, FOLDERS, ROOT, Dependency, dependencies

NO_IMPORT = "no import"


@cache
def imported(folder: str) -> frozenset[str]:
    """First parts of the names of all modules that a folder's code imports."""
    return frozenset(
        name.partition(".")[0] for path in (ROOT / folder).rglob("*.py") for name in _imports(path)
    )


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@cache
def modules() -> dict[str, frozenset[str]]:
    """Modules at the top that each installed distribution brings."""
    found: dict[str, set[str]] = {}
    for module, names in packages_distributions().items():
        for name in names:
            found.setdefault(canonicalize_name(name), set()).add(module)
    return {name: frozenset(found[name]) for name in found}


@pytest.mark.parametrize("dependency", dependencies(), ids=str)
def test_it_has_a_reason(dependency: Dependency) -> None:
    assert dependency.reason.removeprefix(NO_IMPORT).strip(": ")


@pytest.mark.parametrize("dependency", dependencies(), ids=str)
def test_it_is_imported_where_it_is_declared_unless_its_reason_says_so(
    dependency: Dependency,
) -> None:
    brought = modules()[canonicalize_name(dependency.requirement.name)]
    used = brought & frozenset().union(*map(imported, FOLDERS[dependency.extra]))
    assert bool(used) != dependency.reason.startswith(NO_IMPORT)


@pytest.mark.parametrize("extra", FOLDERS)
def test_what_is_imported_is_declared(extra: str) -> None:
    """Not only brought along by another package, which may drop it."""
    everywhere = {"dev": tuple(FOLDERS)}.get(extra, ("", *BESIDE.get(extra, (extra,))))
    declared = {
        module
        for dependency in dependencies()
        if dependency.extra in everywhere
        for module in modules()[canonicalize_name(dependency.requirement.name)]
    }
    foreign = {module for brought in modules().values() for module in brought}
    found = frozenset().union(*map(imported, FOLDERS[extra])) & foreign
    own = {"rljob", "rljob_operator", "rljob_trainer", "rljob_rollout", *FOLDERS["dev"]}
    assert found - declared - own == set()
