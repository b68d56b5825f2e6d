"""Dynamic filters written for slime (its `slime/rollout/filter_hub/`)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rljob.buffer.records import Sample
from rljob.slime import modules
from rljob.slime.arguments import Arguments


@dataclass
class DynamicFilterOutput:
    """What a filter may return in place of a bool: whether the group is kept, and why not."""

    keep: bool
    reason: str | None = None


def install() -> None:
    """Makes slime's modules importable; before the user's module is imported."""
    types = {"DynamicFilterOutput": DynamicFilterOutput}
    modules.install({"slime.rollout.filter_hub.base_types": types})


def adapted(
    function: Callable[..., Any], arguments: Mapping[str, Any]
) -> Callable[[Sequence[Sample]], Any]:
    """A filter `(args, samples)` as one of samples; `arguments` are the job's by slime's names."""
    args = Arguments(arguments)

    def accepts(samples: Sequence[Sample]) -> Any:
        answer = function(args, [_of_slime(sample) for sample in samples])
        return getattr(answer, "keep", answer)

    return accepts


def _of_slime(sample: Sample) -> Any:
    made = modules.sample_class()
    return made(
        index=sample.index,
        response=sample.response,
        response_length=sample.tokens,
        reward=sample.reward,
        status=made.Status(sample.status),
        metadata=dict(sample.metadata),
    )
