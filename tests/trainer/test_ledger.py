"""The ledger: once open, a group is consumed or dropped, once."""

from pathlib import Path

from rljob.ledger.event import Admit, Consume, Drop, Publish
from rljob.ledger.line import decode
from rljob_trainer.data.source import PromptRef
from rljob_trainer.journal import Journal
from rljob_trainer.ledger import Ledger
from tests.trainer.test_admission import a_completion, a_group


def a_ledger(directory: Path) -> Ledger:
    ledger = Ledger(Journal(directory / "ledger.jsonl"))
    ledger.publish(0)
    for _ in range(3):
        group_id = ledger.draw_id()
        ledger.admit(a_group(group_id), PromptRef(0, 10 * group_id))
    return ledger


def test_second_completion_is_refused(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path)
    assert ledger.complete(a_completion(1, 0)) is not None
    assert ledger.complete(a_completion(1, 0)) is None
    assert ledger.complete(a_completion(99, 0)) is None


def test_batch_waits_for_the_oldest(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path)
    ledger.complete(a_completion(2, 0))
    ledger.complete(a_completion(3, 0))
    assert ledger.next_batch(2) is None
    ledger.complete(a_completion(1, 0))
    batch = ledger.next_batch(2)
    assert batch is not None
    assert [entry.group.id for entry in batch] == [1, 2]


def test_events_tell_what_became_of_every_group(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path)
    ledger.complete(a_completion(1, 0))
    ledger.drop(2, "filter nonzero-std")
    batch = ledger.next_batch(1)
    assert batch is not None
    ledger.consume(batch, rollout=1)
    lines = (tmp_path / "ledger.jsonl").read_bytes().splitlines()
    assert [decode(line) for line in lines] == [
        Publish(version=0),
        *(Admit(group=n, epoch=0, index=10 * n, version=0) for n in (1, 2, 3)),
        Drop(group=2, reason="filter nonzero-std"),
        Consume(group=1, rollout=1, version=0, versions=[0], samples=1, tokens=2),
    ]


def test_saved_ledger_goes_on_with_open_groups_and_ready_samples(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path)
    ledger.complete(a_completion(2, 0))
    restored = Ledger(Journal(tmp_path / "other.jsonl"))
    restored.load(ledger.save(), incarnation=7)
    assert restored.next_group == 4
    assert [group.id for group in restored.waiting()] == [1, 3]
    assert all(group.incarnation == 7 for group in restored.waiting())
    assert restored.waiting(known={1})[0].id == 3
    restored.complete(a_completion(1, 0))
    batch = restored.next_batch(2)
    assert batch is not None
    assert batch[1].completion is not None
    assert batch[1].completion.samples[0].response_tokens.tolist() == [1, 2]


def test_rewound_journal_forgets_what_came_after(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.append({"n": 1})
    offset = journal.sync()
    journal.append({"n": 2})
    reopened = Journal(tmp_path / "j.jsonl")
    reopened.rewind(offset)
    reopened.append({"n": 3})
    assert (tmp_path / "j.jsonl").read_text() == '{"n":1}\n{"n":3}\n'
