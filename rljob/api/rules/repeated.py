"""Lists whose items must differ."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from rljob.api.problem import Path, Problem, problem


def repeated(path: Path, values: list[Any], key: str | None = None) -> Iterator[Problem]:
    """A problem for each repeated value of a list, or of the `key` of its items."""
    seen: Counter[Any] = Counter()
    for index, value in enumerate(values):
        seen[value] += 1
        if seen[value] == 2:
            place = (*path, index) if key is None else (*path, index, key)
            yield problem(place, value, "each once", f"also at index {values.index(value)}")
