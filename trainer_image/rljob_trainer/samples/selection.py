"""Selects the groups of the next batch."""

from collections.abc import Callable, Sequence
from functools import partial
from types import MappingProxyType

from rljob_trainer.algorithms.buffer_filter import BufferFilter
from rljob_trainer.algorithms.ready_group import ReadyGroup, ReadySample
from rljob_trainer.samples.admission import Admission
from rljob_trainer.samples.ledger import Ledger, OpenGroup

Choice = Callable[[Sequence[OpenGroup], int], Sequence[int]]


class Selection:
    """The oldest groups, or a filter's choice: first among those that are due, then among all.

    Without a filter it is always the oldest open groups, whichever was completed first. Slow
    prompts are then treated like fast ones, and if groups are used only once, a run's batches do
    not depend on timing. A group with uses left keeps its age, so it is used batch after batch
    until it ends.

    A filter chooses among the completed groups once there are enough, and is called only if there
    is a choice.
    """

    def __init__(self, admission: Admission, buffer_filter: BufferFilter | None) -> None:
        """`admission` bounds the staleness; `buffer_filter` chooses within that bound."""
        self._admission = admission
        self._filter = buffer_filter

    def __call__(self, ledger: Ledger) -> list[OpenGroup] | None:
        """The next batch, ordered by id; None until enough groups are completed.

        Raises:
            UsageError: the user's filter fails.
        """
        groups = ledger.open
        if self._filter is not None:
            groups = [entry for entry in groups if entry.completion is not None]
        batch = self._batch(ledger, groups, _oldest)
        # Whether there are enough groups of each version does not depend on which are chosen.
        is_full = len(batch) == self._admission.rollout_batch_size
        if not is_full or any(entry.completion is None for entry in batch):
            return None
        if self._filter is None:
            return batch
        return self._batch(ledger, groups, partial(_filtered, self._filter, ledger.version))

    def _batch(
        self, ledger: Ledger, groups: Sequence[OpenGroup], choose: Choice
    ) -> list[OpenGroup]:
        """The batch that `choose` picks from these open groups; incomplete if there are too few."""
        due = self._admission.due(
            [entry.version for entry in ledger.unused],
            version=ledger.version,
            uses_since_publish=ledger.uses_since_publish,
        )
        batch: list[OpenGroup] = []
        for version, least in due.items():
            old = [entry for entry in groups if not entry.uses and entry.version <= version]
            batch = _filled(batch, old, least, choose)
            if len(batch) < least:
                return batch
        batch = _filled(batch, groups, self._admission.rollout_batch_size, choose)
        return sorted(batch, key=lambda entry: entry.group.id)


def _filled(
    batch: list[OpenGroup], groups: Sequence[OpenGroup], size: int, choose: Choice
) -> list[OpenGroup]:
    """Adds groups to the batch, up to a size."""
    taken = {entry.group.id for entry in batch}
    others = [entry for entry in groups if entry.group.id not in taken]
    wanted = max(0, size - len(batch))
    if wanted >= len(others):
        return batch + others
    return batch + [others[position] for position in choose(others, wanted)] if wanted else batch


def _oldest(groups: Sequence[OpenGroup], count: int) -> Sequence[int]:
    return range(count)


def _filtered(
    chosen_by: BufferFilter, version: int, groups: Sequence[OpenGroup], count: int
) -> Sequence[int]:
    return chosen_by([_view(entry, version) for entry in groups], count)


def _view(entry: OpenGroup, version: int) -> ReadyGroup:
    assert entry.completion is not None
    return ReadyGroup(
        prompt=entry.group.prompt,
        label=entry.group.label,
        metadata=MappingProxyType(entry.group.metadata),
        samples=tuple(
            ReadySample(
                response=sample.response,
                reward=sample.reward,
                length=sample.tokens,
                status=sample.status,
                versions=tuple(sample.versions),
                metadata=MappingProxyType(sample.metadata),
            )
            for sample in entry.completion.samples
        ),
        versions=tuple(entry.versions),
        age=entry.age(version),
        uses=entry.uses,
    )
