"""The rules of a ledger, checked event by event."""

from dataclasses import dataclass, field

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


class ViolationError(ValueError):
    """An event that breaks a rule of the ledger; the message says how."""


@dataclass
class Entry:
    """An open group: its admission, and its last use, if any."""

    admitted: Admit
    used: Consume | None = None


@dataclass
class Books:
    """The state after the events so far.

    Memory is bounded by the open groups and the prompts of one epoch, however long the run.
    """

    start: Start | None = None
    rollout: int = 0  # batches trained on
    version: int = -1  # published weights; -1: none yet
    restarted: bool = False  # a restarted trainer has not published anything yet
    next_group: int = 1
    open: dict[int, Entry] = field(default_factory=dict)  # by id, in the order of admission
    epoch: int = 0
    drawn: set[int] = field(default_factory=set)  # prompts of this epoch
    given: int = 0  # prompts drawn from a source without a known length
    batch: int = 0  # groups of the batch that is being trained on
    consumed: int = 0  # groups that were trained on
    uses: int = 0  # times that groups were trained on
    dropped: int = 0
    skipped: int = 0
    tokens: int = 0
    staleness: int = 0  # the maximum so far, in versions
    changes: list[tuple[int, list[str]]] = field(default_factory=list)
    """Batches from which on files had different content, as `data.allowChanged` permits."""
    finished: bool = False

    def enter(self, event: Event) -> None:
        """Apply the next event.

        Raises:
            ViolationError: it contradicts the events before it.
        """
        if self.finished:
            raise ViolationError(f"{event.event} after the end of the run")
        if isinstance(event, Start):
            return self._start(event)
        if self.start is None:
            raise ViolationError(f"{event.event} before a trainer has started")
        if self.batch and not isinstance(event, Consume):
            raise ViolationError(
                f"batch {self.rollout + 1} ends with {self.batch} groups; a batch has "
                f"{self.start.batch_size}: samples are lost"
            )
        match event:
            case Admit():
                self._admit(event, self.start)
            case Skip():
                self._draw(event.epoch, event.index, self.start)
                self.skipped += 1
            case Evaluate():
                self._evaluate(event)
            case Consume():
                self._consume(event, self.start)
            case Drop():
                self._drop(event)
            case Retire():
                self._retire(event)
            case Publish():
                self._publish(event)
            case Finish():
                self._finish(event)
        return None

    def _start(self, event: Start) -> None:
        if self.start is not None and event.incarnation <= self.start.incarnation:
            raise ViolationError(
                f"incarnation {event.incarnation} starts after incarnation "
                f"{self.start.incarnation}: incarnations must increase"
            )
        if event.rollout != self.rollout or self.batch:
            raise ViolationError(
                f"a trainer continues after batch {event.rollout}, but the batches up to "
                f"{self.rollout} were trained on, and {self.batch} groups of the next"
            )
        if self.start is not None and event.prompts != self.start.prompts:
            now, before = _number(event.prompts), _number(self.start.prompts)
            raise ViolationError(f"the number of prompts is {now}; it was {before} before")
        if self.start is not None and (changed := _changed(self.start.files, event.files)):
            self.changes.append((self.rollout + 1, changed))
        self.restarted = self.start is not None
        self.start = event

    def _admit(self, event: Admit, start: Start) -> None:
        self._draw_ids(event.group, event.group)
        self._draw(event.epoch, event.index, start)
        if event.version != self.version:
            raise ViolationError(
                f"group {event.group}: admitted under version {event.version}, when "
                f"{self.version} was published"
            )
        self.open[event.group] = Entry(event)

    def _evaluate(self, event: Evaluate) -> None:
        if event.last < event.first:
            raise ViolationError(f"an evaluation has the groups {event.first} to {event.last}")
        self._draw_ids(event.first, event.last)

    def _draw_ids(self, first: int, last: int) -> None:
        if first < self.next_group:
            raise ViolationError(f"group {first}: its id was used before")
        if first > self.next_group:
            raise ViolationError(f"group {self.next_group} is missing: the next one is {first}")
        self.next_group = last + 1

    def _draw(self, epoch: int, index: int, start: Start) -> None:
        """Draw a prompt of the data set: each once per epoch, and all before the next epoch."""
        if start.prompts is None:
            return self._count(epoch, index)
        if epoch == self.epoch + 1:
            missing = start.prompts - len(self.drawn)
            if missing:
                first = next(n for n in range(start.prompts) if n not in self.drawn)
                raise ViolationError(
                    f"epoch {epoch} begins, but {missing} prompts of epoch {self.epoch} were "
                    f"neither admitted nor skipped; the first: {first}"
                )
            self.epoch = epoch
            self.drawn = set()
        if epoch != self.epoch:
            raise ViolationError(f"a prompt of epoch {epoch} in epoch {self.epoch}")
        if index >= start.prompts:
            raise ViolationError(f"prompt {index}; the data has {start.prompts}")
        if index in self.drawn:
            raise ViolationError(f"prompt {index} of epoch {epoch} is used a second time")
        self.drawn.add(index)
        return None

    def _count(self, epoch: int, index: int) -> None:
        """Draw a prompt of a source without a known length, which numbers its prompts."""
        if epoch:
            raise ViolationError(f"a prompt of epoch {epoch}; the source has one epoch, 0")
        if index < self.given:
            raise ViolationError(f"prompt {index} is used a second time")
        if index > self.given:
            raise ViolationError(
                f"prompt {index} is used, but prompt {self.given} was neither admitted nor skipped"
            )
        self.given += 1

    def _consume(self, event: Consume, start: Start) -> None:
        group = event.group
        if event.use > start.max_uses:
            raise ViolationError(f"group {group}: use {event.use}; maxUses allows {start.max_uses}")
        entry = self._entry(group, "consumed")
        if entry.used is not None:
            self._check_again(event, entry.used)
        elif event.use > 1:
            raise ViolationError(f"group {group}: use {event.use}; the next is 1")
        elif start.buffer_filter is None:
            self._check_order(group)
        if event.rollout != self.rollout + 1:
            raise ViolationError(
                f"group {group}: consumed in batch {event.rollout}; the next is {self.rollout + 1}"
            )
        if event.samples != start.samples:
            raise ViolationError(
                f"group {group}: {event.samples} samples; a group has {start.samples}"
            )
        self._check_versions(event, entry.admitted, start)
        entry.used = event
        if event.use == start.max_uses:
            del self.open[group]
        self.consumed += event.use == 1
        self.uses += 1
        self.tokens += event.tokens
        self.batch += 1
        if self.batch == start.batch_size:
            self.rollout += 1
            self.batch = 0

    def _check_again(self, event: Consume, last: Consume) -> None:
        """Check a repeated use: the next number, in another batch, with the same samples."""
        group = event.group
        if event.use != last.use + 1:
            raise ViolationError(f"group {group}: use {event.use}; the next is {last.use + 1}")
        if event.rollout == last.rollout:
            raise ViolationError(f"group {group}: twice in batch {event.rollout}")
        if (event.tokens, event.versions) != (last.tokens, last.versions):
            raise ViolationError(f"group {group}: tokens differ from batch {last.rollout}")

    def _check_order(self, group: int) -> None:
        oldest = next(number for number, entry in self.open.items() if entry.used is None)
        if group != oldest:
            raise ViolationError(
                f"group {group}: consumed before group {oldest}, which was admitted earlier"
            )

    def _check_versions(self, event: Consume, admitted: Admit, start: Start) -> None:
        group = event.group
        if event.version != self.version:
            raise ViolationError(
                f"group {group}: consumed under version {event.version}, when {self.version} was "
                "published"
            )
        if event.tokens and not event.versions:
            raise ViolationError(f"group {group}: {event.tokens} tokens without a version")
        for version in event.versions:
            if version > self.version:
                raise ViolationError(
                    f"group {group}: has tokens of version {version}, which was not published; "
                    f"the last is {self.version}"
                )
            if version < admitted.version:
                raise ViolationError(
                    f"group {group}: has tokens of version {version}, but was admitted only under "
                    f"version {admitted.version}"
                )
            if self.version - version > start.max_staleness:
                raise ViolationError(
                    f"group {group}: has tokens {self.version - version} versions old; "
                    f"maxStaleness allows {start.max_staleness}"
                )
            self.staleness = max(self.staleness, self.version - version)

    def _drop(self, event: Drop) -> None:
        entry = self._entry(event.group, "dropped")
        if entry.used is not None:
            raise ViolationError(
                f"group {event.group}: dropped, but it was trained on in batch {entry.used.rollout}"
            )
        del self.open[event.group]
        self.dropped += 1

    def _retire(self, event: Retire) -> None:
        entry = self._entry(event.group, "retired")
        uses = 0 if entry.used is None else entry.used.use
        if event.uses != uses:
            raise ViolationError(
                f"group {event.group}: retired after {event.uses} uses; it had {uses}"
            )
        del self.open[event.group]

    def _entry(self, group: int, how: str) -> Entry:
        entry = self.open.get(group)
        if entry is None:
            why = "had already ended" if group < self.next_group else "was never admitted"
            raise ViolationError(f"group {group}: {how}, but it {why}")
        return entry

    def _publish(self, event: Publish) -> None:
        # A restarted trainer publishes the same version again, for its engines.
        again = self.restarted and event.version == self.version
        if event.version != self.version + 1 and not again:
            raise ViolationError(
                f"version {event.version} is published after version {self.version}"
            )
        self.version = event.version
        self.restarted = False

    def _finish(self, event: Finish) -> None:
        if event.rollout != self.rollout:
            raise ViolationError(
                f"the run ends after batch {event.rollout}, but {self.rollout} were trained on"
            )
        if self.open:
            raise ViolationError(
                f"the run ends, but {len(self.open)} groups are open; the first: "
                f"{next(iter(self.open))}"
            )
        self.finished = True


def _number(prompts: int | None) -> str:
    return "unknown" if prompts is None else str(prompts)


def _changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Files whose content changed; moving a directory does not count."""
    pairs = zip(before.values(), after.items(), strict=False)
    return [path for old, (path, checksum) in pairs if checksum != old]
