"""The ledger: every open group is consumed or dropped exactly once."""

from pathlib import Path

import pytest

from rljob.errors import UsageError
from rljob.ledger.event import Admit, Consume, Drop, Event, Finish, Publish, Retire
from rljob.ledger.line import decode
from rljob_trainer.data.source import PromptRef
from rljob_trainer.files.journal import Journal
from rljob_trainer.samples.ledger import Ledger
from tests.trainer.records import a_completion, a_group


def a_ledger(directory: Path, max_uses: int = 1) -> Ledger:
    ledger = Ledger(Journal(directory / "ledger.jsonl"), max_uses=max_uses)
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


def events(directory: Path) -> list[Event]:
    """Those after the admission of the three groups."""
    lines = (directory / "ledger.jsonl").read_bytes().splitlines()
    found = [decode(line) for line in lines]
    assert found[:4] == [
        Publish(version=0),
        *(Admit(group=n, epoch=0, index=10 * n, version=0) for n in (1, 2, 3)),
    ]
    return found[4:]


def a_use(group: int, rollout: int, use: int, version: int) -> Consume:
    return Consume(
        group=group, rollout=rollout, use=use, version=version, versions=[0], samples=1, tokens=2
    )


def test_events_tell_what_became_of_every_group(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path)
    ledger.complete(a_completion(1, 0))
    ledger.drop(2, "filter nonzero-std")
    ledger.consume(ledger.open[:1], rollout=1)
    ledger.finish(1)
    assert events(tmp_path) == [
        Drop(group=2, reason="filter nonzero-std"),
        a_use(1, rollout=1, use=1, version=0),
        Drop(group=3, reason="the run has ended"),
        Finish(rollout=1),
    ]
    assert (ledger.consumed, ledger.uses, ledger.dropped) == (1, 1, 2)


def test_group_is_open_until_its_last_use_or_until_it_is_retired(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path, max_uses=3)
    for group in (1, 2, 3):
        ledger.complete(a_completion(group, 0))
    first, second, third = ledger.open
    assert ledger.uses_left == 9
    ledger.consume([first, second], rollout=1)
    ledger.consume([first, third], rollout=2)
    assert ledger.unused == []
    assert ledger.uses_left == 5
    ledger.publish(1)
    ledger.retire(max_staleness=1)  # nothing is past the bound
    ledger.consume([first], rollout=3)
    assert ledger.open == [second, third]
    ledger.publish(2)
    ledger.retire(max_staleness=1)
    assert ledger.open == []
    assert events(tmp_path) == [
        a_use(1, rollout=1, use=1, version=0),
        a_use(2, rollout=1, use=1, version=0),
        a_use(1, rollout=2, use=2, version=0),
        a_use(3, rollout=2, use=1, version=0),
        Publish(version=1),
        a_use(1, rollout=3, use=3, version=1),
        Publish(version=2),
        Retire(group=2, uses=1, reason="past maxStaleness"),
        Retire(group=3, uses=1, reason="past maxStaleness"),
    ]
    assert (ledger.consumed, ledger.uses) == (3, 5)


def test_unused_groups_are_never_retired(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path, max_uses=2)
    ledger.complete(a_completion(1, 0))
    ledger.publish(1)
    ledger.retire(max_staleness=0)
    assert [entry.group.id for entry in ledger.open] == [1, 2, 3]


def test_end_of_the_run_retires_what_was_used_and_drops_the_rest(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path, max_uses=2)
    ledger.complete(a_completion(1, 0))
    ledger.consume(ledger.open[:1], rollout=1)
    ledger.finish(1)
    assert events(tmp_path) == [
        a_use(1, rollout=1, use=1, version=0),
        Retire(group=1, uses=1, reason="the run has ended"),
        Drop(group=2, reason="the run has ended"),
        Drop(group=3, reason="the run has ended"),
        Finish(rollout=1),
    ]


def test_saved_ledger_goes_on_with_open_groups_and_ready_samples(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path, max_uses=2)
    ledger.complete(a_completion(2, 0))
    ledger.consume(ledger.open[1:2], rollout=1)
    ledger.publish(1)
    ledger.admit(a_group(ledger.draw_id()), PromptRef(0, 40))
    restored = Ledger(Journal(tmp_path / "other.jsonl"), max_uses=2)
    restored.load(ledger.save(), incarnation=7)
    assert restored.next_group == 5
    assert [group.id for group in restored.waiting()] == [1, 3, 4]
    assert all(group.incarnation == 7 for group in restored.waiting())
    assert restored.waiting(known={1})[0].id == 3
    assert [(entry.version, entry.uses) for entry in restored.open] == [
        (0, 0), (0, 1), (0, 0), (1, 0)
    ]  # fmt: skip
    assert (restored.consumed, restored.uses, restored.uses_since_publish) == (1, 1, 0)
    again = restored.open[1].completion
    assert again is not None
    assert again.samples[0].segments[0].tokens.tolist() == [1, 2]


def test_a_checkpoint_with_records_of_another_version_is_refused_in_words(tmp_path: Path) -> None:
    ledger = a_ledger(tmp_path)
    ledger.complete(a_completion(2, 0))
    saved = ledger.save()
    old = next(record for record in saved["open"] if record["completion"])
    old["completion"] = b"\x01" + old["completion"][1:]
    restored = Ledger(Journal(tmp_path / "other.jsonl"), max_uses=1)
    with pytest.raises(UsageError, match=r"checkpoint: found a completion of record schema 1; .*"):
        restored.load(saved, incarnation=7)


def test_rewound_journal_forgets_what_came_after(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    journal.append({"n": 1})
    offset = journal.sync()
    journal.append({"n": 2})
    reopened = Journal(tmp_path / "j.jsonl")
    reopened.rewind(offset)
    reopened.append({"n": 3})
    assert (tmp_path / "j.jsonl").read_text() == '{"n":1}\n{"n":3}\n'
