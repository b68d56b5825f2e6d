"""Ledgers of successful runs."""

import json
import random
from collections.abc import Iterable
from pathlib import Path

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

PROMPTS = 10
BATCH = 4
STALENESS = 1


def a_run(batches: int = 6, seed: int = 0) -> list[Event]:
    """A finished run over some epochs: with skips, drops, an evaluation and a second trainer."""
    chance = random.Random(seed)
    events: list[Event] = [_start(1, 0), Publish(version=0)]
    events.append(Evaluate(name="held-out", first=1, last=3))
    open_groups: dict[int, int] = {}
    group, version = 4, 0
    prompts = (
        (epoch, index)
        for epoch in range(99)
        for index in chance.sample(range(PROMPTS), PROMPTS)
    )  # fmt: skip
    for batch in range(1, batches + 1):
        while len(open_groups) < (1 + STALENESS) * BATCH:
            epoch, index = next(prompts)
            if index == 3:
                events.append(Skip(epoch=epoch, index=index, reason="too long"))
                continue
            events.append(Admit(group=group, epoch=epoch, index=index, version=version))
            open_groups[group] = version
            group += 1
        # The first always stays: a batch has to be left.
        for each in list(open_groups)[1:]:
            if len(open_groups) > BATCH and chance.random() < 0.2:
                events.append(Drop(group=each, reason="filter nonzero-std"))
                del open_groups[each]
        for each in list(open_groups)[:BATCH]:
            versions = list(range(open_groups.pop(each), version + 1))
            events.append(
                Consume(
                    group=each,
                    rollout=batch,
                    use=1,
                    version=version,
                    versions=versions,
                    samples=8,
                    tokens=64,
                )
            )
        version += 1
        events.append(Publish(version=version))
        if batch == batches // 2:
            events += [_start(2, batch), Publish(version=version)]
    events += [Drop(group=each, reason="the run has ended") for each in open_groups]
    return [*events, Finish(rollout=batches)]


def without_end(events: Iterable[Event]) -> list[Event]:
    """The run, had its prompts come from a source of no known length, which counts them."""
    counted, index = [], 0
    for event in events:
        if isinstance(event, Start):
            counted.append(event.model_copy(update={"prompts": None}))
        elif isinstance(event, Admit | Skip):
            counted.append(event.model_copy(update={"epoch": 0, "index": index}))
            index += 1
        else:
            counted.append(event)
    return counted


def a_run_with_reuse(batches: int = 6, seed: int = 0) -> list[Event]:
    """A finished run whose groups are used up to twice, in an order that a filter has chosen."""
    chance = random.Random(seed)
    events: list[Event] = [_start(1, 0, max_uses=2, buffer_filter="mine:choose")]
    events.append(Publish(version=0))
    used: list[int] = []  # once, in the last batch
    group = 0
    prompts = ((epoch, index) for epoch in range(99) for index in range(PROMPTS))
    for batch in range(1, batches + 1):
        version = batch - 1
        again = chance.sample(used, chance.randint(0, min(len(used), BATCH - 1)))
        fresh = []
        for _ in range(BATCH - len(again)):
            epoch, index = next(prompts)
            group += 1
            events.append(Admit(group=group, epoch=epoch, index=index, version=version))
            fresh.append(group)
        chance.shuffle(fresh)
        events += [_consume(each, batch, 2, version, version - 1) for each in again]
        events += [_consume(each, batch, 1, version, version) for each in fresh]
        events.append(Publish(version=version + 1))
        if batch == batches // 2:
            events += [_start(2, batch, max_uses=2, buffer_filter="mine:choose")]
            events.append(Publish(version=version + 1))
        for each in used:
            if each not in again:
                events.append(Retire(group=each, uses=1, reason="past maxStaleness"))
        used = fresh
    events += [Retire(group=each, uses=1, reason="the run has ended") for each in used]
    return [*events, Finish(rollout=batches)]


def write(directory: Path, events: Iterable[Event]) -> Path:
    """The run directory with these events as its ledger."""
    lines = (json.dumps(encode(event), separators=(",", ":")) + "\n" for event in events)
    (directory / "ledger.jsonl").write_text("".join(lines))
    return directory


def _consume(group: int, rollout: int, use: int, version: int, made_by: int) -> Consume:
    return Consume(
        group=group,
        rollout=rollout,
        use=use,
        version=version,
        versions=[made_by],
        samples=8,
        tokens=64,
    )


def _start(
    incarnation: int,
    rollout: int,
    *,
    max_uses: int = 1,
    buffer_filter: str | None = None,
) -> Start:
    return Start(
        incarnation=incarnation,
        rollout=rollout,
        prompts=PROMPTS,
        batch_size=BATCH,
        samples=8,
        max_staleness=STALENESS,
        max_uses=max_uses,
        buffer_filter=buffer_filter,
    )
