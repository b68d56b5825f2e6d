"""Dynamic sampling: which completed groups are worth training on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rljob.buffer.records import Sample
from rljob.errors import UsageError
from rljob.slime.signature import is_slime_hook
from rljob_trainer.algorithms import slime_filter
from rljob_trainer.algorithms.hook import load_hook
from rljob_trainer.algorithms.reward import all_alike, as_float32

GroupFilter = Callable[[Sequence[Sample]], bool]
"""True: the group is trained on; False: it is dropped and replaced."""

_FIELD = "spec.algorithm.filter"


def nonzero_std(samples: Sequence[Sample]) -> bool:
    """Refuses groups whose rewards are all equal: their advantages are 0, so is their gradient.

    DAPO's dynamic sampling (arXiv 2503.14476, section 3.2).
    """
    return not all_alike(as_float32([sample.reward for sample in samples]))


def load_filter(spec: str | None, arguments: Mapping[str, Any]) -> GroupFilter | None:
    """Loads the filter that a job names.

    Args:
        spec: "nonzero-std", or "module:function" where the function takes the list of a group's
            samples, or slime's `args` and that list, and returns a bool; None: no filter.
        arguments: the job's by slime's names.

    Raises:
        UsageError: the module or the function can't be loaded; later, from the filter itself: the
            function raised, or returned something other than a bool.
    """
    if spec is None:
        return None
    if spec == "nonzero-std":
        return nonzero_std
    slime_filter.install()
    function = load_hook(_FIELD, spec, "nonzero-std")
    if is_slime_hook(function):
        function = slime_filter.adapted(function, arguments)
    return _checked(spec, function)


def _checked(spec: str, function: Callable[..., object]) -> GroupFilter:
    def accepts(samples: Sequence[Sample]) -> bool:
        try:
            answer = function(list(samples))
        except Exception as error:  # whatever user code raises
            raise UsageError(
                f"{_FIELD}: {spec} raised {type(error).__name__}: {error} on a group of "
                f"{len(samples)} samples"
            ) from error
        if not isinstance(answer, bool | np.bool_):
            raise UsageError(
                f"{_FIELD}: {spec} returned {answer!r}, a {type(answer).__name__}; allowed: bool"
            )
        return bool(answer)

    return accepts
