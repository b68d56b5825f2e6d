"""Weights & Biases with the real package, offline: what it would send is in its file."""

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from prometheus_client import CollectorRegistry
from wandb.proto.wandb_internal_pb2 import Record

from rljob.api import RLJob
from rljob.errors import UsageError
from rljob_trainer.telemetry.recorder import Recorder
from rljob_trainer.telemetry.weights_and_biases import WeightsAndBiases
from tests.support.an_evaluation import an_evaluation
from tests.support.job import manifest
from tests.support.waiting import wait_for

NOWHERE = "http://127.0.0.1:9"  # the port "discard": nothing listens


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing is sent, by mistake either, and no key of this machine is found."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_BASE_URL", NOWHERE)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    wandb.teardown()  # it reads the environment once in a process
    yield
    wandb.teardown()


def a_job(directory: Path) -> RLJob:
    tracking = {"wandb": {"project": "math", "group": "sweep"}}
    return RLJob.model_validate(manifest(directory, tracking=tracking))


def a_run(directory: Path) -> WeightsAndBiases:
    job = a_job(directory)
    assert job.spec.tracking.wandb is not None
    return WeightsAndBiases(directory, job, job.spec.tracking.wandb)


def records(path: Path) -> Iterator[Record]:
    """Of wandb's file: LevelDB's log format (log_format.md) after a header of 7 bytes."""
    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:  # the rest of a block that no header fits into
            at += left
            continue
        size, kind = struct.unpack_from("<HB", data, at + 4)
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # the whole of a record, or its last part
            yield Record.FromString(whole)
            whole = b""


def written(directory: Path) -> list[Record]:
    """What a run has written; wandb's own process may close a file after it has said so."""

    def found() -> list[Record]:
        files = sorted((directory / "wandb").glob("offline-run-*/run-*.wandb"))
        return [record for path in files for record in records(path)]

    def ended() -> bool:
        return any(record.WhichOneof("record_type") == "exit" for record in found())

    wait_for(ended, "the run's file is complete", 30)
    return found()


def logged(found: list[Record]) -> list[dict[str, Any]]:
    """The numbers of each step, by name."""
    rows = []
    for record in found:
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            row = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items
            }
            names = {"_step"} | {name for name in row if not name.startswith("_")}
            rows.append({name: row[name] for name in names})
    return rows


def test_numbers_evaluations_and_settings(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.evaluation(0, an_evaluation(0.25))
    run.batch(1, {"reward/mean": 0.5, "mismatch/logprob_mean": float("nan")})
    run.batch(2, {"reward/mean": 0.75})
    run.evaluation(2, an_evaluation(0.5))
    run.close()
    found = written(tmp_path)
    rows = logged(found)
    assert [row["_step"] for row in rows] == [0, 1, 2]
    assert rows[0]["eval/held-out/reward"] == 0.25
    assert rows[1]["reward/mean"] == 0.5
    assert rows[2] == {
        "_step": 2,
        "reward/mean": 0.75,
        "eval/held-out/reward": 0.5,
        "eval/held-out/margin": 0.125,
        "eval/held-out/pass@1": 0.5,
        "eval/held-out/pass@2": 0.75,
        "eval/held-out/majority@2": 0.375,
        "eval/held-out/length": 4.0,
        "eval/held-out/truncated": 0.25,
    }
    (begun,) = [record.run for record in found if record.WhichOneof("record_type") == "run"]
    assert (begun.project, begun.run_group) == ("math", "sweep")
    assert begun.display_name == a_job(tmp_path).metadata.name
    config = {item.key: json.loads(item.value_json) for item in begun.config.update}
    assert config["algorithm.estimator"] == "grpo"


def test_a_resumed_run_has_the_same_identity_and_another_run_another(tmp_path: Path) -> None:
    ids = []
    for name in ("a", "a", "b"):
        directory = tmp_path / name
        directory.mkdir(exist_ok=True)
        run = a_run(directory)
        ids.append(run._run.id)
        run.close()
    assert ids[0] == ids[1] != ids[2]


def test_without_the_package_the_trainer_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not there
    with pytest.raises(UsageError, match=r"spec.tracking.wandb: .* pip install 'rljob\[wandb\]'"):
        Recorder(a_job(tmp_path), tmp_path, CollectorRegistry())


def test_without_a_key_the_trainer_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """wandb itself finds none, and asks no one."""
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(UsageError, match=r"spec.tracking.wandb: project math .* API key"):
        a_run(tmp_path)
