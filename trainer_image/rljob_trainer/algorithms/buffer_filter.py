"""The buffer filter: which of the ready groups make up the next batch."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rljob.errors import UsageError
from rljob.slime.signature import is_slime_hook
from rljob_trainer.algorithms import slime_buffer_filter
from rljob_trainer.algorithms.hook import load_hook
from rljob_trainer.algorithms.ready_group import ReadyGroup
from rljob_trainer.algorithms.reward import as_float32

_FIELD = "spec.rollout.bufferFilter"
_LEVELS = 4


BufferFilter = Callable[[Sequence[ReadyGroup], int], Sequence[int]]
"""Takes the ready groups, oldest first, and how many to choose; returns the chosen positions."""


def prioritized(groups: Sequence[ReadyGroup], count: int) -> list[int]:
    """Chooses the groups whose rewards have the greatest standard deviation: most to learn from.

    With rewards of 0 and 1 these are the prompts that the policy solves half of the time. Ties go
    to the groups with fewer uses, then to the older ones.
    """

    def key(position: int) -> tuple[float, int, int]:
        group = groups[position]
        return -statistics.pstdev(as_float32(group.rewards).tolist()), group.uses, position

    return sorted(range(len(groups)), key=key)[:count]


def stratified(groups: Sequence[ReadyGroup], count: int) -> list[int]:
    """Chooses equally from each level of reward, so that a batch is neither all easy nor all hard.

    The range of the groups' mean rewards is divided into four equal levels. The levels take turns,
    each giving its oldest group; a level that has none left is skipped.
    """
    means = [statistics.fmean(group.rewards) for group in groups]
    low, width = min(means), max(means) - min(means)
    places = [0] * _LEVELS  # taken of each level so far
    turns = []
    for position, mean in enumerate(means):
        level = min(int(_LEVELS * (mean - low) / width), _LEVELS - 1) if width else 0
        turns.append((places[level], level, position))
        places[level] += 1
    return [position for _, _, position in sorted(turns)[:count]]


_BUILTIN: dict[str, BufferFilter] = {"prioritized": prioritized, "stratified": stratified}


def load_buffer_filter(spec: str | None, arguments: Mapping[str, Any]) -> BufferFilter | None:
    """Loads the buffer filter that a job names.

    Args:
        spec: "prioritized", "stratified", or "module:function" where the function takes a list of
            `ReadyGroup`, oldest first, and the number to choose, and returns that many different
            positions, or has slime's form; None: no filter.
        arguments: the job's by slime's names.

    Raises:
        UsageError: the module or the function can't be loaded; later, from the filter itself: the
            function raised, or returned something else.
    """
    if spec is None:
        return None
    if spec in _BUILTIN:
        return _BUILTIN[spec]
    slime_buffer_filter.install()
    function = load_hook(_FIELD, spec, ", ".join(_BUILTIN))
    if is_slime_hook(function):
        function = slime_buffer_filter.adapted(function, arguments)
    return _checked(spec, function)


def _checked(spec: str, function: Callable[..., object]) -> BufferFilter:
    def choose(groups: Sequence[ReadyGroup], count: int) -> list[int]:
        try:
            answer = function(list(groups), count)
        except slime_buffer_filter.RefusedAnswerError as error:
            raise UsageError(f"{_FIELD}: {spec} {error}") from None
        except Exception as error:  # whatever user code raises
            raise UsageError(
                f"{_FIELD}: {spec} raised {type(error).__name__}: {error} when choosing {count} of "
                f"{len(groups)} groups"
            ) from error
        try:
            chosen = [_position(each) for each in answer]  # type: ignore[attr-defined]
        except TypeError:
            chosen = []
        if len(set(chosen)) != count or len(chosen) != count or not _within(chosen, len(groups)):
            raise UsageError(
                f"{_FIELD}: {spec} returned {_shown(answer)}; allowed: {count} different positions "
                f"from 0 to {len(groups) - 1}"
            )
        return chosen

    return choose


def _position(given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int | np.integer):
        raise TypeError
    return int(given)


def _within(chosen: Sequence[int], length: int) -> bool:
    return all(0 <= position < length for position in chosen)


def _shown(answer: object) -> str:
    text = repr(answer)
    return f"{text[:200]}..., a {type(answer).__name__}" if len(text) > 200 else text
