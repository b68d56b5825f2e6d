"""The audit accepts a correct ledger, and names what is wrong with an incorrect one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from rljob.cli.main import app
from rljob.ledger.audit import audit
from rljob.ledger.books import Books, ViolationError
from rljob.ledger.event import (
    Admit,
    Consume,
    Drop,
    Event,
    Finish,
    Publish,
    Retire,
    Skip,
    Start,
)
from tests.ledger.run import PROMPTS, a_run, a_run_with_reuse, without_end, write

E = TypeVar("E", bound=Event)


def places(events: list[Event], kind: type[E]) -> Iterator[int]:
    return (place for place, event in enumerate(events) if isinstance(event, kind))


def nth(events: list[Event], kind: type[E], n: int) -> int:
    return list(places(events, kind))[n]


def changed(kind: type[Event], n: int, **values: object) -> Callable[[list[Event]], int]:
    """Gives the n-th event of a kind other values; returns its place."""

    def corrupt(events: list[Event]) -> int:
        place = nth(events, kind, n)
        events[place] = events[place].model_copy(update=values)
        return place

    return corrupt


def consumed_twice(events: list[Event]) -> int:
    place = nth(events, Consume, 5)
    events.insert(place + 1, events[place])
    return place + 1


def trained_twice_on_a_prompt(events: list[Event]) -> int:
    first, second = (events[nth(events, Admit, n)] for n in (0, 1))
    assert isinstance(first, Admit) and isinstance(second, Admit)
    place = nth(events, Admit, 1)
    events[place] = second.model_copy(update={"index": first.index})
    return place


def prompt_lost(events: list[Event]) -> int:
    """A prompt of the first epoch that nothing tells of, with the ids drawn up."""
    skip = nth(events, Skip, 0)
    del events[skip]
    return next(p for p in places(events, Admit) if events[p].epoch == 1)  # type: ignore[union-attr]


def admission_lost(events: list[Event]) -> int:
    place = nth(events, Admit, 4)
    del events[place]
    return next(p for p in places(events, Admit) if p >= place)


def samples_lost(events: list[Event]) -> int:
    """The last group of a batch is missing."""
    place = next(p for p in places(events, Publish) if isinstance(events[p - 1], Consume))
    del events[place - 1]
    return place - 1


def overtaken(events: list[Event]) -> int:
    place = nth(events, Consume, 0)
    events[place], events[place + 1] = events[place + 1], events[place]
    return place


def never_admitted(events: list[Event]) -> int:
    return changed(Consume, 0, group=9999)(events)


def dropped_after_use(events: list[Event]) -> int:
    used = events[nth(events, Consume, 0)]
    assert isinstance(used, Consume)
    place = nth(events, Publish, 2) + 1
    events.insert(place, Drop(group=used.group, reason="filter"))
    return place


def too_stale(events: list[Event]) -> int:
    """The bound is one that the run did not keep."""
    changed(Start, 0, max_staleness=0)(events)
    return nth(events, Consume, 4)


def left_open(events: list[Event]) -> int:
    del events[-2]
    return len(events) - 1


def after_the_end(events: list[Event]) -> int:
    events.append(Publish(version=99))
    return len(events) - 1


CORRUPTIONS: dict[str, tuple[Callable[[list[Event]], int], str]] = {
    "consumed twice": (consumed_twice, "consumed, but it had already ended"),
    "never admitted": (never_admitted, "group 9999: consumed, but it was never admitted"),
    "prompt used twice": (trained_twice_on_a_prompt, "of epoch 0 is used a second time"),
    "prompt lost": (prompt_lost, "epoch 1 begins, but 1 prompts of epoch 0 were neither"),
    "admission lost": (admission_lost, "group 8 is missing: the next one is 9"),
    "samples lost": (samples_lost, "batch 1 ends with 3 groups; a batch has 4"),
    "overtaken": (overtaken, "which was admitted earlier"),
    "too stale": (too_stale, "group 8: has tokens 1 versions old; maxStaleness allows 0"),
    "version of the future": (changed(Consume, 5, versions=[1, 7]), "version 7, which was not"),
    "version of nobody": (changed(Consume, 5, versions=[]), "64 tokens without a version"),
    "older than its admission": (
        changed(Consume, 8, versions=[0, 1]), "version 0, but was admitted only under version 1"
    ),
    "samples of a group": (changed(Consume, 3, samples=7), "7 samples; a group has 8"),
    "batch out of turn": (changed(Consume, 4, rollout=4), "consumed in batch 4; the next is 2"),
    "dropped after use": (dropped_after_use, "dropped, but it had already ended"),
    "version skipped": (changed(Publish, 2, version=5), "version 5 is published after version 1"),
    "old trainer": (changed(Start, 1, incarnation=1), "incarnation 1 starts after incarnation 1"),
    "resumed elsewhere": (changed(Start, 1, rollout=2), "continues after batch 2, but the batches"),
    "other data": (changed(Start, 1, prompts=99), "the number of prompts is 99; it was 10 before"),
    "no such prompt": (changed(Admit, 2, index=PROMPTS), "prompt 10; the data has 10"),
    "id given twice": (changed(Admit, 3, group=4), "group 4: its id was used before"),
    "left open": (left_open, "the run ends, but 1 groups are open"),
    "end told wrong": (changed(Finish, 0, rollout=9), "ends after batch 9, but 6 were trained on"),
    "after the end": (after_the_end, "publish after the end of the run"),
}  # fmt: skip


def uses(events: list[Event]) -> Iterator[tuple[int, Consume]]:
    return ((place, event) for place, event in enumerate(events) if isinstance(event, Consume))


def used(number: int, **values: object) -> Callable[[list[Event]], int]:
    """Gives the first of all uses with this number other values."""

    def corrupt(events: list[Event]) -> int:
        place, event = next((p, e) for p, e in uses(events) if e.use == number)
        events[place] = event.model_copy(update=values)
        return place

    return corrupt


def twice_in_a_batch(events: list[Event]) -> int:
    place, event = next(uses(events))
    events[place + 1] = event.model_copy(update={"use": 2})
    return place + 1


def used_beyond(events: list[Event]) -> int:
    """A group is used a third time where another was used for the first time."""
    group = next(event.group for _, event in uses(events) if event.use == 2)
    place, event = next((p, e) for p, e in uses(events) if e.rollout == 3)
    events[place] = event.model_copy(update={"group": group, "use": 3})
    return place


def used_after_retirement(events: list[Event]) -> int:
    retired = nth(events, Retire, 0)
    group = next(event.group for event in events if isinstance(event, Retire))
    place, event = next((p, e) for p, e in uses(events) if p > retired)
    events[place] = event.model_copy(update={"group": group, "use": 2})
    return place


def dropped_for_retired(events: list[Event]) -> int:
    place = nth(events, Retire, 0)
    group = next(event.group for event in events if isinstance(event, Retire))
    events[place] = Drop(group=group, reason="past maxStaleness")
    return place


def retirement_lost(events: list[Event]) -> int:
    del events[nth(events, Retire, 0)]
    return len(events) - 1


def order_without_a_filter(events: list[Event]) -> int:
    for place in places(events, Start):
        events[place] = events[place].model_copy(update={"buffer_filter": None})
    admitted: list[int] = []
    for place, event in enumerate(events):
        if isinstance(event, Admit):
            admitted.append(event.group)
        if isinstance(event, Consume) and event.use == 1 and event.group != admitted.pop(0):
            return place
    raise AssertionError("no group overtakes another")


def too_stale_again(events: list[Event]) -> int:
    changed(Start, 0, max_staleness=0)(events)
    return used(2)(events)


OF_REUSE: dict[str, tuple[Callable[[list[Event]], int], str]] = {
    "use doubled": (used(2, use=1), "use 1; the next is 2"),
    "use skipped": (used(1, use=2), "use 2; the next is 1"),
    "used beyond": (used_beyond, "use 3; maxUses allows 2"),
    "twice in a batch": (twice_in_a_batch, "twice in batch 1"),
    "used after retirement": (used_after_retirement, "consumed, but it had already ended"),
    "generated again": (used(2, tokens=65), "tokens differ from batch 1"),
    "retired otherwise": (changed(Retire, 0, uses=2), "retired after 2 uses; it had 1"),
    "dropped for retired": (dropped_for_retired, "dropped, but it was trained on in batch 1"),
    "retirement lost": (retirement_lost, "the run ends, but 1 groups are open"),
    "order without a filter": (order_without_a_filter, "which was admitted earlier"),
    "too stale": (too_stale_again, "has tokens 1 versions old; maxStaleness allows 0"),
}


@pytest.mark.parametrize("name", OF_REUSE)
def test_corruption_of_reuse_is_named(name: str, tmp_path: Path) -> None:
    corrupt, message = OF_REUSE[name]
    events = a_run_with_reuse(seed=1)
    place = corrupt(events)
    found = audit(write(tmp_path, events))
    assert found.violation is not None
    assert found.violation.startswith(f"ledger.jsonl:{place + 1}: ")
    assert message in found.violation


def test_reuse_that_holds_is_proven(tmp_path: Path) -> None:
    events = a_run_with_reuse(seed=1)
    result = CliRunner().invoke(app, ["audit", str(write(tmp_path, events))])
    assert result.exit_code == 0, result.output
    first = sum(isinstance(event, Admit) for event in events)
    assert f"{first} groups were trained on, each 1 to 2 times, 24 times in total" in result.stdout


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption_is_named(name: str, tmp_path: Path) -> None:
    corrupt, message = CORRUPTIONS[name]
    events = a_run()
    place = corrupt(events)
    result = CliRunner().invoke(app, ["audit", str(write(tmp_path, events))])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"ledger.jsonl:{place + 1}: ")
    assert message in result.stderr


def test_ledger_that_holds_is_proven(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["audit", str(write(tmp_path, a_run()))])
    assert result.exit_code == 0, result.output
    assert "6 batches of 4 groups; the run has ended" in result.stdout
    assert "24 groups were trained on, each once" in result.stdout


def test_data_that_was_changed_on_purpose_is_told(tmp_path: Path) -> None:
    events = list(a_run())
    first, *_, last = places(events, Start)
    for place in places(events, Start):
        content = "100 bytes, crc32 00000001" if place < last else "100 bytes, crc32 00000002"
        events[place] = events[place].model_copy(update={"files": {"/data/a.jsonl": content}})
    assert first < last
    result = CliRunner().invoke(app, ["audit", str(write(tmp_path, events))])
    assert result.exit_code == 0
    batch = events[last].rollout + 1
    said = f"from batch {batch} on, the content of /data/a.jsonl was different (spec.data.allowCh"
    assert said in result.output


def test_source_without_end_is_proven(tmp_path: Path) -> None:
    events = without_end(a_run())
    drawn = sum(isinstance(event, Admit | Skip) for event in events)
    result = CliRunner().invoke(app, ["audit", str(write(tmp_path, events))])
    assert result.exit_code == 0, result.output
    assert (
        f"accounted for, up to {drawn} of a source without a known length: 24 groups"
        in result.stdout
    )


WITHOUT_END: dict[str, tuple[Callable[[list[Event]], int], str]] = {
    "prompt used twice": (trained_twice_on_a_prompt, "prompt 0 is used a second time"),
    "prompt lost": (
        changed(Admit, 2, index=3), "prompt 3 is used, but prompt 2 was neither admitted nor skipp"
    ),
    "second epoch": (changed(Admit, 2, epoch=1), "a prompt of epoch 1; the source has one epoch"),
    "other data": (
        changed(Start, 1, prompts=10),
        "the number of prompts is 10; it was unknown before",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_END)
def test_corruption_of_a_source_without_end_is_named(name: str, tmp_path: Path) -> None:
    corrupt, message = WITHOUT_END[name]
    events = without_end(a_run())
    place = corrupt(events)
    result = CliRunner().invoke(app, ["audit", str(write(tmp_path, events))])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"ledger.jsonl:{place + 1}: ")
    assert message in result.stderr


def test_run_that_goes_on_is_proven_so_far(tmp_path: Path) -> None:
    events = a_run()
    for length in range(len(events)):
        assert audit(write(tmp_path, events[:length])).violation is None


def test_changed_line_is_told(tmp_path: Path) -> None:
    ledger = write(tmp_path, a_run()) / "ledger.jsonl"
    ledger.write_text(ledger.read_text().replace('"tokens":64', '"tokens":65', 1))
    found = audit(tmp_path)
    assert found.violation is not None and "it was changed" in found.violation


def test_line_that_is_no_event_is_told(tmp_path: Path) -> None:
    ledger = write(tmp_path, a_run()) / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    for damaged, message in ((b"\0\0\0\n", "not JSON"), (b"[]\n", "found a JSON list")):
        ledger.write_bytes(b"".join([*lines[:5], damaged, *lines[6:]]))
        found = audit(tmp_path)
        assert found.violation is not None
        assert found.violation.startswith("ledger.jsonl:6: ") and message in found.violation


def test_torn_last_line_is_left_out(tmp_path: Path) -> None:
    ledger = write(tmp_path, a_run()) / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-9])
    result = CliRunner().invoke(app, ["audit", str(tmp_path)])
    assert result.exit_code == 0
    assert "the last line is incomplete" in result.stdout


def test_ledger_cut_short_is_told_by_what_else_is_there(tmp_path: Path) -> None:
    events = a_run()
    write(tmp_path, events[: nth(events, Consume, 20)])
    (tmp_path / "summary.json").write_text('{"state": "succeeded", "rollouts": 6}')
    found = audit(tmp_path)
    assert found.violation == "ledger.jsonl ends with batch 5, but summary.json has 6 batches"
    (tmp_path / "summary.json").unlink()
    (tmp_path / "checkpoints" / "step-000006").mkdir(parents=True)
    (tmp_path / "checkpoints" / "step-000009.partial").mkdir()
    found = audit(tmp_path)
    assert found.violation == "ledger.jsonl ends with batch 5, but checkpoint 6 was saved"


def test_directory_without_a_ledger_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="the directory of a started run"):
        CliRunner().invoke(app, ["audit", str(tmp_path)], catch_exceptions=False)


def holds(events: list[Event]) -> bool:
    books = Books()
    try:
        for event in events:
            books.enter(event)
    except ViolationError:
        return False
    return True


@pytest.mark.parametrize("run", [a_run, a_run_with_reuse])
@given(st.integers(0, 10**6), st.integers(1, 12), st.data())
def test_nothing_can_be_taken_out_or_doubled(
    run: Callable[[int, int], list[Event]], seed: int, batches: int, data: st.DataObject
) -> None:
    events = run(batches, seed)
    assert holds(events)
    uses = [p for kind in (Admit, Consume, Drop, Retire) for p in places(events, kind)]
    place = data.draw(st.sampled_from(uses))
    assert not holds(events[:place] + events[place + 1 :])
    assert not holds([*events[:place], events[place], *events[place:]])


def test_version_may_be_published_again_only_after_a_restart() -> None:
    events = a_run()
    again = nth(events, Start, 1) + 1
    assert isinstance(events[again], Publish)
    assert holds([*events[:again], *events[again + 1 :]])  # killed before it, and started again
    assert not holds([*events[: again + 1], *events[again:]])
