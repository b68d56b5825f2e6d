"""Supervised fine-tuning from the command line: no engine, no buffer; killed, stopped, resumed."""

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.job import RLJOB, Run

pytestmark = pytest.mark.timeout(900)

BATCHES = 90
SFT: dict[str, Any] = {
    "algorithm": {"estimator": "sft", "samplesPerPrompt": 1},
    "schedule": {
        "rollouts": BATCHES,
        "rolloutBatchSize": 128,
        "globalBatchSize": 128,
        "saveInterval": 20,
    },
    "trainer": {"optimizer": {"lr": 3e-3, "weight_decay": 0.0, "adam_beta2": 0.99}},
    "rollout": {"sampling": {"maxResponseTokens": 8}},
}
LEARNED = ("rollout", "loss/total", "train/token_accuracy", "train/gradient_norm", "data/epoch")


def learned(run: Run) -> list[list[Any]]:
    return [[record[name] for name in LEARNED] for record in run.records("metrics")]


def trainer_rank(run: Run) -> psutil.Process:
    """The process that trains, not its launcher."""
    (found,) = [
        child
        for child in psutil.Process(run.pid).children(recursive=True)
        if "rljob_trainer.rank" in child.cmdline()
    ]
    return found


def test_a_model_learns_the_answers(new_run: Callable[..., Run]) -> None:
    """A killed and a stopped run learn exactly what an undisturbed one does."""
    whole = new_run("whole", **SFT)
    whole.start()
    whole.wait_until(lambda: whole.trained() >= 3, "a few batches")
    modules = {
        child.cmdline()[child.cmdline().index("-m") + 1]
        for child in psutil.Process(whole.pid).children(recursive=True)
        if "-m" in child.cmdline()
    }
    assert not {name for name in modules if "rollout" in name or "buffer" in name}
    url = json.loads((whole.directory / "run.json").read_text())["status_url"]
    with urllib.request.urlopen(url.replace("/status", "/metrics"), timeout=10) as reply:
        assert "rljob_train_token_accuracy_ratio" in reply.read().decode()
    assert whole.wait() == 0, whole.text()
    summary = whole.summary()
    assert summary["state"] == "succeeded"
    assert summary["loss_first5"] > 2.0
    assert summary["loss_last5"] < 0.15
    assert whole.records("metrics")[-1]["train/token_accuracy"] > 0.95
    assert "Token accuracy" in (whole.directory / "report.html").read_text()

    broken = new_run("broken", **SFT)
    broken.start()
    broken.wait_until(lambda: broken.trained() >= 30, "a batch after a checkpoint")
    os.kill(trainer_rank(broken).pid, signal.SIGKILL)
    assert broken.wait() == 1
    broken.start()
    broken.wait_until(lambda: broken.trained() >= 50, "some more batches")
    broken.interrupt()
    assert broken.wait() == 130
    assert broken.run() == 0, broken.text()
    assert learned(broken) == learned(whole)
    model = Path("model", "model.safetensors")
    assert (broken.directory / model).read_bytes() == (whole.directory / model).read_bytes()


def test_what_makes_no_sense_is_refused_by_name(new_run: Callable[..., Run]) -> None:
    run = new_run("wrong", **{**SFT, "rollout": {"reward": {"type": "math"}}})
    done = subprocess.run([RLJOB, "run", run.file], capture_output=True, text=True, check=False)
    assert done.returncode == 64
    assert "spec.rollout.reward: found a mapping, allowed null (estimator is sft" in (
        done.stdout + done.stderr
    )


def test_a_label_that_is_no_text_is_told_with_its_line(
    new_run: Callable[..., Run], tmp_path: Path
) -> None:
    data = tmp_path / "labels.jsonl"
    lines = [{"prompt": "1>", "label": "1"}, {"prompt": "2>", "label": 2}]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = new_run("labels", **SFT, data__prompts=[str(data)])
    assert run.run() == 64
    assert f"{data}:2: estimator sft: the label is 2, a int; allowed: a text" in run.text()
