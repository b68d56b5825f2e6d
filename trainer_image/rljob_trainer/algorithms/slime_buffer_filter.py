"""Buffer filters written for slime (its `--buffer-filter-path`)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rljob.slime import modules
from rljob.slime.arguments import Arguments
from rljob_trainer.algorithms.ready_group import ReadyGroup


class RefusedAnswerError(Exception):
    """What a filter returned can't be used; a phrase that begins with `returned`."""


def install() -> None:
    """Makes slime's modules importable; before the user's module is imported."""
    modules.install({})


def adapted(
    function: Callable[..., Any], arguments: Mapping[str, Any]
) -> Callable[[Sequence[ReadyGroup], int], list[int]]:
    """A filter `(args, rollout_id, buffer, num_samples)` as one that returns positions.

    Args:
        function: gets the groups as lists of slime's Samples, and returns those that it chose; it
            may take them out of the buffer, which is its own list.
        arguments: the job's by slime's names.

    Raises:
        RefusedAnswerError: later, from the filter: it did not return `num_samples` different lists
            that were in the buffer.
    """
    args = Arguments(arguments)

    def choose(groups: Sequence[ReadyGroup], count: int) -> list[int]:
        made = [_of_slime(position, group) for position, group in enumerate(groups)]
        # slime's own filters are called without a rollout id, too.
        answer = function(args, None, list(made), count)
        allowed = f"allowed: {count} different groups of the buffer, as the lists that were in it"
        if not isinstance(answer, Sequence):
            raise RefusedAnswerError(f"returned {answer!r:.200}; {allowed}")
        # By identity: groups may be alike, and the filter may have changed them.
        positions = {id(group): position for position, group in enumerate(made)}
        chosen = [positions.get(id(each)) for each in answer]
        known = [position for position in chosen if position is not None]
        if len(chosen) != count or len(set(known)) != count:
            raise RefusedAnswerError(
                f"returned {len(chosen)} groups, of which {len(chosen) - len(known)} were not in "
                f"the buffer and {len(known) - len(set(known))} were returned before; {allowed}"
            )
        return known

    return choose


def _of_slime(position: int, group: ReadyGroup) -> list[Any]:
    made = modules.sample_class()
    return [
        made(
            group_index=position,
            index=index,
            prompt=group.prompt,
            label=group.label,
            response=sample.response,
            response_length=sample.length,
            reward=sample.reward,
            status=made.Status(sample.status),
            weight_versions=[str(version) for version in sample.versions],
            metadata={**group.metadata, **sample.metadata},
        )
        for index, sample in enumerate(group.samples)
    ]
