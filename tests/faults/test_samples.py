"""Samples are used as often as allowed, whatever fails: trainer, workers, engines, buffer.

The real ledger, exchange, checkpoints, workers, buffer and server; only what a model computes is
replaced: generation is arithmetic, training and weights are nothing.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rljob.cli.main import app
from tests.faults.samples.faults import FAULTS, strike
from tests.faults.samples.scene import BATCH, Scene, scene

PATIENCE = 90.0


REUSE = {
    "schedule__maxStaleness": 3,
    "schedule__maxUses": 3,
    "rollout__bufferFilter": "prioritized",
}


def lead(directory: Path, *, faults: int, rollouts: int, seed: int, **changes: Any) -> Counter[str]:
    """A run under so many faults, to its end; then its books are checked in two ways."""
    began = time.monotonic()
    with scene(directory, rollouts, **changes) as led:
        struck = strike(led, faults, rollouts, seed, PATIENCE)
        assert led.ended.wait(PATIENCE), "the run does not end"
        assert led.error is None, led.error
        starts = led.starts
    admitted, consumed = count(led, rollouts, changes.get("schedule__maxUses", 1))
    print(
        f"seed {seed}: {struck.total()} faults, {starts} starts, {consumed} groups of {admitted} "
        f"consumed in {rollouts} batches of {BATCH}, in {time.monotonic() - began:.0f} s: "
        f"{dict(struck)}"
    )
    assert struck.total() == faults
    return struck


def count(led: Scene, rollouts: int, max_uses: int) -> tuple[int, int]:
    """Groups admitted, each of which was consumed or dropped, and groups consumed.

    The audit says so, too.
    """
    result = CliRunner().invoke(app, ["audit", str(led.run_dir)])
    assert result.exit_code == 0, result.output
    print(result.stdout)
    lines = (led.run_dir / "ledger.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    admitted, consumed, dropped, retired = (
        [event["group"] for event in events if event["event"] == kind]
        for kind in ("admit", "consume", "drop", "retire")
    )
    assert len(consumed) == rollouts * BATCH
    uses = Counter(consumed)
    assert sorted([*uses, *dropped]) == admitted
    assert sorted(retired) == sorted(group for group, n in uses.items() if n < max_uses)
    assert max(uses.values()) == max_uses
    assert [e["use"] for e in events if e["event"] == "consume"] == numbered(consumed)
    prompts = Counter((e["epoch"], e["index"]) for e in events if e["event"] == "admit")
    assert set(prompts.values()) == {1}
    return len(admitted), len(uses)


def numbered(groups: Iterable[int]) -> list[int]:
    """The how-manieth time each of them comes."""
    seen: Counter[int] = Counter()
    numbers = []
    for group in groups:
        seen[group] += 1
        numbers.append(seen[group])
    return numbers


@pytest.mark.timeout(600)
def test_some_faults(tmp_path: Path) -> None:
    lead(tmp_path, faults=40, rollouts=20, seed=int(os.environ.get("RLJOB_SEED", "1")))


@pytest.mark.timeout(600)
def test_some_faults_with_reuse_and_a_filter(tmp_path: Path) -> None:
    seed = int(os.environ.get("RLJOB_SEED", "1"))
    lead(tmp_path, faults=40, rollouts=20, seed=seed, **REUSE)


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_a_thousand_faults(tmp_path: Path) -> None:
    seed = int(os.environ.get("RLJOB_SEED", str(time.time_ns() % 10**6)))
    print(f"RLJOB_SEED={seed}")
    struck = lead(tmp_path, faults=1000, rollouts=260, seed=seed)
    assert set(struck) == {fault.__name__ for fault in FAULTS}
