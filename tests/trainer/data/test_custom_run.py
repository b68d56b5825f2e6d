"""A custom source through the exchange: a real server, a ledger, checkpoints, the audit."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest

from examples.sort_digits.curriculum import Curriculum
from rljob.buffer.records import Completion, Group, VersionSpan
from rljob.errors import UsageError
from rljob.ledger.audit import audit
from rljob_trainer.data.source import EndedGroup
from rljob_trainer.files.journal import Journal
from rljob_trainer.samples.exchange import Exchange
from rljob_trainer.samples.ledger import OpenGroup
from tests.support.a_sample import a_sample
from tests.support.valkey import ValkeyServer
from tests.trainer.samples.test_exchange import Bench, failed, rewarded

HEARD: list[EndedGroup] = []
BATCH = 8


class Heard(Curriculum):
    """The curriculum of the example; what it is told is noted."""

    def add_samples(self, groups: list[EndedGroup]) -> None:
        HEARD.extend(groups)
        super().add_samples(groups)


class Run:
    """A trainer with such a source, one batch after the other."""

    def __init__(self, directory: Path) -> None:
        HEARD.clear()
        self.directory = directory
        self._server = ValkeyServer(directory)
        self._server.start()
        self._bench = Bench(directory, self._server)
        self._exchange: Exchange | None = None

    def answer(self, group: Group) -> Completion:
        """Right where the first digit is even: groups of one digit have a mean of a half."""
        assert self._exchange is not None
        version = self._exchange.ledger.version
        completion = rewarded(*[float(int(group.prompt[0]) % 2 == 0)] * 4)
        spans = [VersionSpan(version, 0, 2)]
        samples = (
            a_sample([1, 2], versions=spans, index=s.index, reward=s.reward)
            for s in completion.samples
        )
        return replace(completion, samples=tuple(samples))

    def start(
        self,
        saved: bytes | None = None,
        rollout: int = 0,
        source: str = f"{__name__}:Heard",
        **changes: Any,
    ) -> None:
        state = None
        self._bench.stop_workers()
        if saved is not None:
            state = msgpack.unpackb(saved)
            Journal(self._bench.ledger_file).rewind(state["offset"])
        self._exchange = self._bench.exchange(
            self.answer,
            state and state["exchange"],
            rollout,
            data__source=source,
            data__prompts=[],
            schedule__rollouts=20,
            **changes,
        )

    def batch(self, rollout: int) -> list[OpenGroup]:
        exchange = self._exchange
        assert exchange is not None
        batch = exchange.collect()
        exchange.consume(batch, rollout)
        exchange.ledger.publish(exchange.ledger.version + 1)
        return batch

    def save(self) -> bytes:
        """As a checkpoint keeps it, and with the ledger's length."""
        assert self._exchange is not None
        state = {
            "exchange": self._exchange.save(),
            "offset": self._bench.ledger_file.stat().st_size,
        }
        packed: bytes = msgpack.packb(state)
        return packed

    def finish(self, rollout: int) -> None:
        assert self._exchange is not None
        self._exchange.ledger.finish(rollout)

    def close(self) -> None:
        self._bench.close()
        self._server.stop()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    run.close()


def shown(batch: list[OpenGroup]) -> list[tuple[int, int, int, str]]:
    return [(e.group.id, e.ref.epoch, e.ref.index, e.group.prompt) for e in batch]


def test_source_hears_what_became_of_its_prompts(run: Run) -> None:
    run.start()
    batch = run.batch(1)
    assert [entry.ref.index for entry in batch] == list(range(BATCH))
    assert [ended.index for ended in HEARD] == list(range(BATCH))
    for ended, entry in zip(HEARD, batch, strict=True):
        assert ended.prompt == entry.group.prompt
        assert ended.label == "".join(sorted(ended.prompt[:-1]))
        assert (ended.outcome, ended.reason) == ("consumed", None)
        right = float(int(ended.prompt[0]) % 2 == 0)
        assert [sample.reward for sample in ended.samples] == [right] * 4


def test_dropped_groups_are_told_with_their_reason(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(group: Group) -> Completion:
        if group.id == 2:
            return failed("reward.py raised")
        return rewarded(1.0, 1.0, 1.0, 1.0) if group.id == 5 else rewarded(0.0, 1.0, 0.0, 1.0)

    monkeypatch.setattr(run, "answer", answer)
    run.start(algorithm__filter="nonzero-std")
    run.batch(1)
    dropped = [each for each in HEARD if each.outcome == "dropped"]
    assert [(each.index, each.reason) for each in sorted(dropped, key=lambda e: e.index)] == [
        (1, "reward.py raised"),
        (4, "filter nonzero-std"),
    ]
    assert [len(each.samples) for each in sorted(dropped, key=lambda e: e.index)] == [0, 4]
    consumed = [each.index for each in HEARD if each.outcome == "consumed"]
    assert consumed == [0, 2, 3, 5, 6, 7, 8, 9]


def test_audit_proves_a_run(run: Run) -> None:
    run.start()
    for rollout in range(1, 5):
        run.batch(rollout)
    run.finish(4)
    found = audit(run.directory)
    assert found.violation is None
    assert found.books.finished
    assert (found.books.consumed, found.books.given) == (4 * BATCH, 4 * BATCH)
    assert found.books.start is not None
    assert found.books.start.prompts is None


def test_resumed_run_is_the_same_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """State and cursor go back together, and the curriculum takes the same turns again."""
    monkeypatch.setattr("examples.sort_digits.curriculum.ENOUGH", 0.4)
    run.start()
    saves, whole = {}, []
    for rollout in range(1, 9):
        whole.append(shown(run.batch(rollout)))
        saves[rollout] = run.save()
    assert {len(prompt) for *_, prompt in whole[0]} == {2}  # a digit and the end of the prompt
    assert max(len(prompt) for *_, prompt in whole[-1]) > 2  # it has gone on to longer ones
    for begin in (1, 3, 6):
        run.start(saves[begin], begin)
        for rollout in range(begin + 1, 9):
            assert shown(run.batch(rollout)) == whole[rollout - 1]
            saves[rollout] = run.save()
    run.finish(8)
    found = audit(run.directory)
    assert found.violation is None
    assert found.books.given == 8 * BATCH


def test_state_that_can_not_be_kept_ends_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.start()
    run.batch(1)
    monkeypatch.setattr(Heard, "save", lambda _: {"a", "set"})
    with pytest.raises(UsageError, match=r"spec\.data\.source: .*Heard\.save returned what"):
        run.save()
