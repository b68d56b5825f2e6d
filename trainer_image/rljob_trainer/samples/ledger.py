"""The ledger: the trainer's authoritative record of what became of every group."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rljob.buffer.records import Completion, Group, RecordError
from rljob.errors import UsageError
from rljob.ledger.event import (
    Admit,
    Consume,
    Drop,
    Evaluate,
    Event,
    Finish,
    Publish,
    Retire,
    Skip,
    Start,
)
from rljob.ledger.line import encode
from rljob_trainer.data.source import PromptRef
from rljob_trainer.files.journal import Journal


@dataclass
class OpenGroup:
    """An admitted group that has not ended: it will be trained on, for the first time or again."""

    group: Group
    ref: PromptRef
    version: int  # the published weights at its admission
    completion: Completion | None = None
    uses: int = 0  # batches that it was part of

    @property
    def versions(self) -> list[int]:
        """The weight versions that generated its tokens, ascending; empty without tokens."""
        samples = self.completion.samples if self.completion is not None else ()
        return sorted({version for each in samples for version in each.versions})

    def age(self, version: int) -> int:
        """How many versions its oldest token is behind `version`."""
        return version - min(self.versions, default=version)


class Ledger:
    """Takes every group from open to consumed, or to dropped with a reason, and writes it down.

    A group may be consumed up to `max_uses` times. It stays open until its last use, or until it is
    retired with uses left. `rljob.ledger.books` verifies what is written.
    """

    def __init__(self, journal: Journal, *, max_uses: int) -> None:
        self._journal = journal
        self._max_uses = max_uses
        self._open: dict[int, OpenGroup] = {}  # by id
        self.next_group = 1
        self.version = -1
        self.consumed = 0  # groups trained on
        self.uses = 0  # the same, counted once per use
        self.uses_since_publish = 0
        self.dropped = 0
        self.staleness_max = 0

    @property
    def open(self) -> list[OpenGroup]:
        """The open groups, in the order of their ids."""
        return list(self._open.values())

    @property
    def unused(self) -> list[OpenGroup]:
        """Open groups that were not trained on yet."""
        return [entry for entry in self._open.values() if not entry.uses]

    @property
    def uses_left(self) -> int:
        """How often all open groups together may still be trained on."""
        return sum(self._max_uses - entry.uses for entry in self._open.values())

    @property
    def ready(self) -> int:
        """Open groups that are completed."""
        return sum(entry.completion is not None for entry in self._open.values())

    def start(self, event: Start) -> None:
        """Records that a trainer takes over."""
        self._write(event)

    def draw_id(self) -> int:
        """The id of the next group: ids grow and are never used twice."""
        drawn = self.next_group
        self.next_group += 1
        return drawn

    def admit(self, group: Group, ref: PromptRef) -> None:
        """Records that a prompt becomes an open group."""
        self._open[group.id] = OpenGroup(group, ref, self.version)
        self._write(Admit(group=group.id, epoch=ref.epoch, index=ref.index, version=self.version))

    def skip(self, ref: PromptRef, reason: str) -> None:
        """Records that a prompt does not become a group."""
        self._write(Skip(epoch=ref.epoch, index=ref.index, reason=reason))

    def evaluate(self, name: str, groups: Sequence[Group]) -> None:
        """Records that groups of consecutive ids, drawn before, are not trained on."""
        self._write(Evaluate(name=name, first=groups[0].id, last=groups[-1].id))

    def complete(self, completion: Completion) -> OpenGroup | None:
        """Stores a group's samples. Returns None if it is not open: nothing is taken twice."""
        entry = self._open.get(completion.group)
        if entry is None or entry.completion is not None:
            return None
        entry.completion = completion
        return entry

    def drop(self, group: int, reason: str) -> None:
        """Ends a group without training on it."""
        del self._open[group]
        self.dropped += 1
        self._write(Drop(group=group, reason=reason))

    def consume(self, batch: Iterable[OpenGroup], rollout: int) -> None:
        """Records that the groups were trained on in rollout batch `rollout`."""
        for each in batch:
            entry = self._open[each.group.id]
            assert entry.completion is not None
            entry.uses += 1
            self.staleness_max = max(self.staleness_max, entry.age(self.version))
            samples = entry.completion.samples
            self._write(
                Consume(
                    group=entry.group.id,
                    rollout=rollout,
                    use=entry.uses,
                    version=self.version,
                    versions=entry.versions,
                    samples=len(samples),
                    tokens=sum(each.tokens for each in samples),
                )
            )
            self.consumed += entry.uses == 1
            self.uses += 1
            self.uses_since_publish += 1
            if entry.uses == self._max_uses:
                del self._open[entry.group.id]

    def retire(self, max_staleness: int) -> None:
        """Retires used groups whose tokens have passed the staleness bound."""
        for entry in self.open:
            if entry.uses and entry.age(self.version) > max_staleness:
                self._retire(entry, "past maxStaleness")

    def publish(self, version: int) -> None:
        """Records that this version is published; after a restart it may be the same one again."""
        if version > self.version:
            self.uses_since_publish = 0
        self.version = version
        self._write(Publish(version=version))

    def finish(self, rollout: int) -> None:
        """Ends all open groups when the run has finished after `rollout` batches."""
        for entry in self.open:
            if entry.uses:
                self._retire(entry, "the run has ended")
            else:
                self.drop(entry.group.id, "the run has ended")
        self._write(Finish(rollout=rollout))

    def waiting(self, known: Iterable[int] = ()) -> list[Group]:
        """Open groups without samples that are not in `known`: they must be admitted again."""
        known = set(known)
        return [
            entry.group
            for entry in self._open.values()
            if entry.completion is None and entry.group.id not in known
        ]

    def save(self) -> dict[str, Any]:
        """The ledger for a checkpoint, made of plain types and bytes."""
        return {
            "next_group": self.next_group,
            "version": self.version,
            "consumed": self.consumed,
            "uses": self.uses,
            "uses_since_publish": self.uses_since_publish,
            "dropped": self.dropped,
            "staleness_max": self.staleness_max,
            "open": [
                {
                    "group": entry.group.pack(),
                    "epoch": entry.ref.epoch,
                    "index": entry.ref.index,
                    "version": entry.version,
                    "uses": entry.uses,
                    "completion": entry.completion and entry.completion.pack(),
                }
                for entry in self._open.values()
            ],
        }

    def load(self, saved: dict[str, Any], incarnation: int) -> None:
        """Restores the ledger from a checkpoint; open groups get the new incarnation.

        Weights that were never published from this checkpoint cannot have generated tokens, so the
        count since the last version starts again at the next publication.

        Raises:
            UsageError: another version of rljob wrote it, with groups that this one can't read.
        """
        self.next_group = saved["next_group"]
        self.version = saved["version"]
        self.consumed = saved["consumed"]
        self.uses = saved["uses"]
        self.uses_since_publish = saved["uses_since_publish"]
        self.dropped = saved["dropped"]
        self.staleness_max = saved["staleness_max"]
        self._open = {}
        for record in saved["open"]:
            try:
                group = replace(Group.unpack(record["group"]), incarnation=incarnation)
                completion = record["completion"] and Completion.unpack(record["completion"])
            except RecordError as error:
                raise UsageError(
                    f"checkpoint: found {error}; allowed: to resume with the version of rljob that "
                    "saved it, or to begin a new run from the weights that `rljob export` writes"
                ) from error
            ref = PromptRef(record["epoch"], record["index"])
            self._open[group.id] = OpenGroup(
                group, ref, record["version"], completion or None, record["uses"]
            )

    def _retire(self, entry: OpenGroup, reason: str) -> None:
        del self._open[entry.group.id]
        self._write(Retire(group=entry.group.id, uses=entry.uses, reason=reason))

    def _write(self, event: Event) -> None:
        self._journal.append(encode(event))
