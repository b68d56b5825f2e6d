"""A limit on nesting, so that recursive code can't overflow the stack."""

from typing import Any

from rljob.api.problem import Path, Problem

DEEPEST = 64  # levels; a pod template needs about 12
PART = 3  # keys in the path of the part that a problem names, e.g. spec.rollout.template
TOO_DEEP = f"nested deeper than {DEEPEST} levels"


def too_deep(value: Any) -> list[Problem]:
    """A problem for each part of a manifest that is nested too deeply."""
    level: list[tuple[Path, Any]] = [((), value)]
    for _ in range(DEEPEST + 1):
        level = [((*path, key)[:PART], inner) for path, outer in level for key, inner in _in(outer)]
    return [Problem(path, message=TOO_DEEP) for path in dict.fromkeys(path for path, _ in level)]


def _in(value: Any) -> list[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []
