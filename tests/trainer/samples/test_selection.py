"""The staleness bound and the end of every group, for any order of completion and any filter."""

import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.sort_digits.prepare import write_tokenizer
from rljob.api import RLJob
from rljob.buffer.client import TrainerBuffer
from rljob.buffer.records import Completion, Group, VersionSpan
from rljob.ledger.audit import audit
from rljob.telemetry.incident import Incidents
from rljob_trainer.algorithms.buffer_filter import BufferFilter, prioritized, stratified
from rljob_trainer.algorithms.filter import nonzero_std
from rljob_trainer.algorithms.ready_group import ReadyGroup
from rljob_trainer.data.opening import open_source
from rljob_trainer.data.source import PromptRef
from rljob_trainer.data.tokenizer import PromptTokenizer
from rljob_trainer.files.journal import Journal
from rljob_trainer.process.stop import StopFlag
from rljob_trainer.samples.admission import Admission
from rljob_trainer.samples.exchange import Exchange
from rljob_trainer.samples.ledger import Ledger
from rljob_trainer.samples.selection import Selection
from tests.support.a_sample import a_sample
from tests.support.job import manifest
from tests.trainer.records import a_completion, a_group

PROMPTS = 30


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with prompts and a tokenizer."""
    directory = tmp_path_factory.mktemp("task")
    (directory / "model").mkdir()
    write_tokenizer(directory / "model")
    lines = (f'{{"prompt": "{n}>", "label": ""}}\n' for n in range(PROMPTS))
    (directory / "train.jsonl").write_text("".join(lines))
    return directory


@dataclass
class Workers:
    """Stands in for buffer and workers, so that chance alone says what is completed when."""

    chance: random.Random
    version: int = -1
    incarnation: int = 0
    leased: dict[int, tuple[Group, int]] = field(default_factory=dict)  # with the version then
    waiting: dict[int, Group] = field(default_factory=dict)

    def start(self, floor: int) -> int:
        self.incarnation += 1
        self.leased, self.waiting = {}, {}
        return self.incarnation

    def admit(self, groups: Sequence[Group]) -> None:
        self.waiting |= {group.id: group for group in groups}

    def lost(self) -> bool:
        return False

    def collect(self, wait: float) -> list[Completion]:
        assert wait == 0 or self.waiting or self.leased, "waits for ever"
        for group_id in self._some(self.waiting):
            self.leased[group_id] = self.waiting.pop(group_id), self.version
        done = []
        for group_id in self._some(self.leased):
            group, begun = self.leased.pop(group_id)
            done.append(self._completed(group, begun))
        return done

    def _some(self, groups: dict[int, Any]) -> list[int]:
        return self.chance.sample(sorted(groups), self.chance.randint(0, len(groups)))

    def _completed(self, group: Group, begun: int) -> Completion:
        """Two samples, of the weights of the lease and of those of now."""
        completion = a_completion(group.id, begun)
        one = completion.samples[0]
        two = a_sample([1, 2], versions=[VersionSpan(self.version, 0, 2)], index=1)
        rewards = [self.chance.choice((0.0, 0.5, 1.0)) for _ in range(2)]
        samples = tuple(replace(s, reward=r) for s, r in zip((one, two), rewards, strict=True))
        return replace(completion, incarnation=group.incarnation, samples=samples)


class Run:
    """The real exchange, ledger and prompts, with a trainer that may die after any batch."""

    def __init__(
        self,
        task: Path,
        run_dir: Path,
        seed: int,
        chooses: BufferFilter | None = None,
        **schedule: int,
    ) -> None:
        self.chance = random.Random(seed)
        self.chooses = chooses
        batch = schedule["rolloutBatchSize"]
        changes = {f"schedule__{name}": value for name, value in schedule.items()}
        document = manifest(
            task,
            algorithm={"samplesPerPrompt": 2, "filter": "nonzero-std"},
            schedule__globalBatchSize=2 * batch,
            schedule__stepsPerRollout=1,
            rollout__bufferFilter="my:choice" if chooses else None,
            **changes,
        )
        self.spec = RLJob.model_validate(document).spec
        self.workers = Workers(self.chance)
        self.run_dir = run_dir
        self.tokenizer = PromptTokenizer(task / "model", chat=False)
        self.deaths = 0

    def lead(self) -> None:
        """From the first batch to the end of the ledger."""
        rollout = at = offset = 0
        saved: dict[str, Any] | None = None
        exchange, journal = self._trainer(offset, rollout, saved)
        schedule = self.spec.schedule
        while rollout < schedule.rollouts:
            batch = exchange.collect()
            assert len(exchange.ledger.open) <= Admission.of(schedule, is_filtered=False).window
            rollout += 1
            exchange.consume(batch, rollout)
            if rollout % schedule.update_weights_interval == 0:
                self._publish(exchange, exchange.ledger.version + 1)
            if self.chance.random() < 0.3:
                saved, offset, at = exchange.save(), journal.sync(), rollout
            if saved is not None and self.chance.random() < 0.1:
                self.deaths += 1
                rollout = at
                exchange, journal = self._trainer(offset, rollout, saved)
        exchange.ledger.finish(rollout)

    def _trainer(
        self, offset: int, rollout: int, saved: dict[str, Any] | None
    ) -> tuple[Exchange, Journal]:
        spec = self.spec
        journal = Journal(self.run_dir / "ledger.jsonl")
        journal.rewind(offset)
        exchange = Exchange(
            spec,
            buffer=cast(TrainerBuffer, self.workers),
            source=open_source(spec, self.tokenizer, self.run_dir),
            ledger=Ledger(journal, max_uses=spec.schedule.max_uses),
            group_filter=nonzero_std,
            buffer_filter=self.chooses,
            stop=StopFlag(),
            incidents=Incidents(self.run_dir),
            while_waiting=lambda: None,
        )
        exchange.start(0, rollout, saved)
        self._publish(exchange, exchange.first_version)
        return exchange, journal

    def _publish(self, exchange: Exchange, version: int) -> None:
        self.workers.version = version
        exchange.ledger.publish(version)


@contextmanager
def a_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@settings(max_examples=150, deadline=None)
@given(
    batch=st.integers(1, 5),
    staleness=st.integers(0, 3),
    interval=st.integers(1, 3),
    uses=st.integers(1, 4),
    kind=st.sampled_from(["none", "random", "newest", "prioritized", "stratified"]),
    seed=st.integers(0, 2**32),
)
def test_no_token_passes_the_bound_and_no_group_is_lost(
    task: Path, batch: int, staleness: int, interval: int, uses: int, kind: str, seed: int
) -> None:
    """Completed in any order, dropped, chosen against the bound, with trainers that die."""
    chance = random.Random(seed)
    choices: dict[str, BufferFilter | None] = {
        "none": None,
        "random": lambda groups, count: chance.sample(range(len(groups)), count),
        # The worst for the bound: the oldest wait as long as they may.
        "newest": lambda groups, count: range(len(groups))[-count:],
        "prioritized": prioritized,
        "stratified": stratified,
    }
    batches = interval * (1 + staleness)
    max_uses = min(uses, batches)
    with a_directory() as run_dir:
        run = Run(
            task,
            run_dir,
            seed,
            choices[kind] if staleness and staleness + interval + max_uses > 3 else None,
            rollouts=4 * batches,
            rolloutBatchSize=batch,
            maxStaleness=staleness,
            updateWeightsInterval=interval,
            maxUses=max_uses,
        )
        run.lead()
        found = audit(run_dir)
        assert found.violation is None
        assert found.books.finished
        assert found.books.staleness <= staleness
        assert found.books.uses == run.spec.schedule.rollouts * batch
        if run.spec.schedule.max_uses == 1:  # nothing was generated for nothing
            assert "the run has ended" not in (run_dir / "ledger.jsonl").read_text()


@pytest.mark.parametrize("staleness", [1, 3])
def test_groups_are_used_as_often_as_they_may_be(task: Path, staleness: int) -> None:
    """With every use made, 60 batches of 4 take 120 groups; without reuse 240."""
    with a_directory() as run_dir:
        run = Run(
            task, run_dir, 3, rollouts=60, rolloutBatchSize=4, maxStaleness=staleness, maxUses=2
        )
        run.lead()
        books = audit(run_dir).books
        assert run.deaths > 0
        assert books.uses == 240
        assert books.consumed <= (160 if staleness == 1 else 130)


def a_ledger(directory: Path, completed: Sequence[int], admitted: int = 4) -> Ledger:
    """Groups of version 0, some of them completed."""
    ledger = Ledger(Journal(directory / "ledger.jsonl"), max_uses=2)
    ledger.publish(0)
    for group in range(1, admitted + 1):
        ledger.admit(replace(a_group(ledger.draw_id()), label=str(group)), PromptRef(0, group))
    for group in completed:
        ledger.complete(a_completion(group, 0))
    return ledger


def chosen(selection: Selection, ledger: Ledger) -> list[int] | None:
    batch = selection(ledger)
    return None if batch is None else [entry.group.id for entry in batch]


# Without `spare`: the full window of six groups, of which two make a batch.
ADMISSION = Admission(2, max_staleness=2, update_weights_interval=1)


def test_without_a_filter_it_is_always_the_oldest(tmp_path: Path) -> None:
    select = Selection(ADMISSION, None)
    ledger = a_ledger(tmp_path, completed=[2, 3, 4])
    assert chosen(select, ledger) is None
    ledger.complete(a_completion(1, 0))
    assert chosen(select, ledger) == [1, 2]
    assert chosen(select, a_ledger(tmp_path / "one", completed=[1], admitted=1)) is None


class Newest:
    """A filter that likes the newest groups, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[int], int]] = []  # labels, count
        self.groups: Sequence[ReadyGroup] = ()

    def __call__(self, groups: Sequence[ReadyGroup], count: int) -> list[int]:
        self.groups = groups
        self.asked.append(([int(group.label) for group in groups], count))
        return list(range(len(groups)))[-count:]


def test_filter_chooses_among_what_is_ready_and_after_what_is_due(tmp_path: Path) -> None:
    newest = Newest()
    select = Selection(ADMISSION, newest)
    ledger = a_ledger(tmp_path, completed=[4], admitted=6)
    assert select(ledger) is None
    ledger.complete(a_completion(2, 0))
    assert chosen(select, ledger) == [2, 4]
    assert newest.asked == []  # there was no choice
    ledger.complete(a_completion(3, 0))
    batch = select(ledger)
    assert batch is not None
    assert [entry.group.id for entry in batch] == [3, 4]
    assert newest.asked == [([2, 3, 4], 2)]
    ledger.consume(batch, 1)
    ledger.publish(1)
    for group in (7, 8):
        ledger.admit(replace(a_group(ledger.draw_id()), label=str(group)), PromptRef(0, group))
        ledger.complete(a_completion(group, 1))
    # Of 1, 2, 5, 6 only two can wait for the batch of version 2. One is ready.
    assert select(ledger) is None
    ledger.complete(a_completion(6, 0))
    assert chosen(select, ledger) == [2, 6]
    ledger.complete(a_completion(5, 0))
    assert chosen(select, ledger) == [5, 6]


def test_due_groups_come_before_those_that_the_filter_prefers(tmp_path: Path) -> None:
    newest = Newest()
    select = Selection(ADMISSION, newest)
    ledger = a_ledger(tmp_path, completed=[1, 2, 3], admitted=3)
    ledger.publish(1)
    for group in (4, 5):
        ledger.admit(replace(a_group(ledger.draw_id()), label=str(group)), PromptRef(0, group))
        ledger.complete(a_completion(group, 1))
    # Batches of version 1 and 2 take 1, 2 and 3: one of them now, and any other.
    assert chosen(select, ledger) == [3, 5]
    assert newest.asked == [([1, 2, 3], 1), ([1, 2, 4, 5], 1)]


def test_view_of_a_group(tmp_path: Path) -> None:
    newest = Newest()
    ledger = a_ledger(tmp_path, completed=[1, 2, 3], admitted=3)
    ledger.consume(ledger.open[2:3], 1)
    ledger.publish(1)
    Selection(ADMISSION, newest)(ledger)
    group = newest.groups[2]
    assert (group.prompt, group.label, group.age, group.uses) == ("p", "3", 1, 1)
    assert (group.versions, group.rewards) == ((0,), (1.0,))
    assert (group.samples[0].length, group.samples[0].status) == (2, "completed")
    with pytest.raises(TypeError):
        group.metadata["seen"] = True  # type: ignore[index]
