"""Samples are used exactly once, whatever befalls trainer, workers, engines and buffer.

The real ledger, exchange, checkpoints, workers, buffer and server; only what a model computes is
replaced: generation is arithmetic, training and weights are nothing.
"""

import json
import os
import time
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rljob.cli.main import app
from tests.faults.samples.faults import FAULTS, strike
from tests.faults.samples.scene import BATCH, Scene, scene

PATIENCE = 90.0


def lead(directory: Path, *, faults: int, rollouts: int, seed: int) -> Counter[str]:
    """A run under so many faults, to its end; then its books are checked in two ways."""
    began = time.monotonic()
    with scene(directory, rollouts) as led:
        struck = strike(led, faults, rollouts, seed, PATIENCE)
        assert led.ended.wait(PATIENCE), "the run does not end"
        assert led.error is None, led.error
        starts = led.starts
    groups = count(led, rollouts)
    print(
        f"seed {seed}: {struck.total()} faults, {starts} starts, {rollouts * BATCH} groups of "
        f"{groups} consumed once, in {time.monotonic() - began:.0f} s: {dict(struck)}"
    )
    assert struck.total() == faults
    return struck


def count(led: Scene, rollouts: int) -> int:
    """Groups admitted, each of which was consumed once or dropped; the audit says so, too."""
    result = CliRunner().invoke(app, ["audit", str(led.run_dir)])
    assert result.exit_code == 0, result.output
    print(result.stdout)
    lines = (led.run_dir / "ledger.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    admitted, consumed, dropped = (
        [event["group"] for event in events if event["event"] == kind]
        for kind in ("admit", "consume", "drop")
    )
    assert len(consumed) == rollouts * BATCH
    assert sorted(consumed + dropped) == admitted
    prompts = Counter((e["epoch"], e["index"]) for e in events if e["event"] == "admit")
    assert set(prompts.values()) == {1}
    return len(admitted)


@pytest.mark.timeout(600)
def test_some_faults(tmp_path: Path) -> None:
    lead(tmp_path, faults=40, rollouts=20, seed=int(os.environ.get("RLJOB_SEED", "1")))


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_a_thousand_faults(tmp_path: Path) -> None:
    seed = int(os.environ.get("RLJOB_SEED", str(time.time_ns() % 10**6)))
    print(f"RLJOB_SEED={seed}")
    struck = lead(tmp_path, faults=1000, rollouts=260, seed=seed)
    assert set(struck) == {fault.__name__ for fault in FAULTS}
