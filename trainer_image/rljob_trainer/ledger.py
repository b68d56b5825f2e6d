"""What became of every group: the trainer's truth about samples."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rljob.buffer.records import Completion, Group
from rljob.ledger.event import Admit, Consume, Drop, Evaluate, Event, Finish, Publish, Skip, Start
from rljob.ledger.line import encode
from rljob_trainer.data.source import PromptRef
from rljob_trainer.journal import Journal


@dataclass
class OpenGroup:
    """A group that was admitted and is neither consumed nor dropped."""

    group: Group
    ref: PromptRef
    completion: Completion | None = None


class Ledger:
    """Every group goes from open to consumed, or to dropped with a reason; once, and written down.

    What is written, `rljob.ledger.books` proves to be right.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._open: dict[int, OpenGroup] = {}  # in the order of ids, which is the order of use
        self.next_group = 1
        self.version = -1
        self.consumed = 0
        self.consumed_since_publish = 0
        self.dropped = 0
        self.staleness_max = 0

    @property
    def open_groups(self) -> int:
        """Groups admitted and neither consumed nor dropped."""
        return len(self._open)

    @property
    def ready(self) -> int:
        """Open groups that are completed."""
        return sum(entry.completion is not None for entry in self._open.values())

    def start(self, event: Start) -> None:
        """A trainer takes over."""
        self._write(event)

    def draw_id(self) -> int:
        """The id of the next group: ids grow and are never used twice."""
        drawn = self.next_group
        self.next_group += 1
        return drawn

    def admit(self, group: Group, ref: PromptRef) -> None:
        """A prompt becomes an open group."""
        self._open[group.id] = OpenGroup(group, ref)
        self._write(Admit(group=group.id, epoch=ref.epoch, index=ref.index, version=self.version))

    def skip(self, ref: PromptRef, reason: str) -> None:
        """A prompt does not become a group."""
        self._write(Skip(epoch=ref.epoch, index=ref.index, reason=reason))

    def evaluate(self, name: str, groups: Sequence[Group]) -> None:
        """Groups of consecutive ids, drawn before, are not trained on."""
        self._write(Evaluate(name=name, first=groups[0].id, last=groups[-1].id))

    def complete(self, completion: Completion) -> OpenGroup | None:
        """The group's samples are there. None if the group is not open: nothing is taken twice."""
        entry = self._open.get(completion.group)
        if entry is None or entry.completion is not None:
            return None
        entry.completion = completion
        return entry

    def drop(self, group: int, reason: str) -> None:
        """The group ends without being trained on."""
        del self._open[group]
        self.dropped += 1
        self._write(Drop(group=group, reason=reason))

    def next_batch(self, size: int) -> list[OpenGroup] | None:
        """The `size` oldest open groups, once all of them are completed.

        Always the oldest, whichever was completed first: that keeps the staleness bound, treats
        slow prompts as fast ones, and makes the batches of a run independent of timing.
        """
        batch = []
        for entry in self._open.values():
            if entry.completion is None:
                return None
            batch.append(entry)
            if len(batch) == size:
                return batch
        return None

    def consume(self, batch: Iterable[OpenGroup], rollout: int) -> None:
        """The groups were trained on in rollout batch `rollout`."""
        for entry in batch:
            assert entry.completion is not None
            samples = entry.completion.samples
            versions = sorted({span.version for each in samples for span in each.versions})
            if versions:
                self.staleness_max = max(self.staleness_max, self.version - versions[0])
            self._write(
                Consume(
                    group=entry.group.id,
                    rollout=rollout,
                    version=self.version,
                    versions=versions,
                    samples=len(samples),
                    tokens=sum(len(each.response_tokens) for each in samples),
                )
            )
            del self._open[entry.group.id]
            self.consumed += 1
            self.consumed_since_publish += 1

    def publish(self, version: int) -> None:
        """Weights of this version are out; or again, after a restart, where they were before."""
        if version > self.version:
            self.consumed_since_publish = 0
        self.version = version
        self._write(Publish(version=version))

    def finish(self, rollout: int) -> None:
        """The run has reached its end after `rollout` batches; what is open is not needed."""
        for group in list(self._open):
            self.drop(group, "the run has ended")
        self._write(Finish(rollout=rollout))

    def waiting(self, known: Iterable[int] = ()) -> list[Group]:
        """Open groups without samples that are not among `known`: to be admitted again."""
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
            "consumed_since_publish": self.consumed_since_publish,
            "dropped": self.dropped,
            "staleness_max": self.staleness_max,
            "open": [
                {
                    "group": entry.group.pack(),
                    "epoch": entry.ref.epoch,
                    "index": entry.ref.index,
                    "completion": entry.completion and entry.completion.pack(),
                }
                for entry in self._open.values()
            ],
        }

    def load(self, saved: dict[str, Any], incarnation: int) -> None:
        """The ledger as a checkpoint has it; open groups get the new incarnation.

        Weights that were never published from this checkpoint cannot have made tokens, so the
        count since the last version starts again at the next publication.
        """
        for name in ("next_group", "version", "consumed", "consumed_since_publish", "dropped"):
            setattr(self, name, saved[name])
        self.staleness_max = saved["staleness_max"]
        self._open = {}
        for record in saved["open"]:
            group = replace(Group.unpack(record["group"]), incarnation=incarnation)
            completion = record["completion"] and Completion.unpack(record["completion"])
            ref = PromptRef(record["epoch"], record["index"])
            self._open[group.id] = OpenGroup(group, ref, completion or None)

    def _write(self, event: Event) -> None:
        self._journal.append(encode(event))
