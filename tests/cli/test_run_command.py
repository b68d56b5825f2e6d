"""`rljob run` before anything is started: what it refuses, and what needs no start."""

import asyncio
import fcntl
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from rljob.api.load import load_job
from rljob.api.same_run import forbidden_changes
from rljob.buffer.client import TrainerBuffer, WorkerBuffer
from rljob.buffer.owner import Owner
from rljob.buffer.records import Engine
from rljob.cli.failure import read_failure
from rljob.cli.run_directory import Attempt, RunDirectory
from rljob.errors import UsageError
from rljob.ledger.event import Admit, Event, Start
from rljob.ledger.line import encode
from rljob.plan.resolve import resolve
from tests.support.disk import DISK_BYTES
from tests.support.run_dir import MANIFEST, job, write_inputs, write_run_dir
from tests.support.valkey import ValkeyServer


@pytest.fixture
def rljob(command, monkeypatch, tmp_path):
    """Runs the command in a directory with a manifest and what it names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (tmp_path / "job.yaml").write_text(MANIFEST)
    write_inputs(tmp_path)
    return command


def test_a_dry_run_prints_the_roles_and_leaves_nothing(rljob, tmp_path):
    code, out, _ = rljob("run", "job.yaml", "--dry-run", "--metrics-port", "12345")
    assert code == 0
    for said in ("role: buffer", "role: trainer", "rljob_rollout.router", "'12345'"):
        assert said in out
    assert out.count("secrets: [buffer_password, engine_api_key, engine_admin_key]") == 4
    assert len(out.splitlines()) < 50
    assert sorted(path.name for path in tmp_path.iterdir()) == ["build", "job.yaml"]


def test_a_dry_run_for_programs(rljob, tmp_path):
    code, out, _ = rljob("run", "job.yaml", "--dry-run", "--metrics-port", "12345", "-o", "json")
    assert code == 0
    told = json.loads(out)
    assert [role["role"] for role in told["roles"]] == ["buffer", "trainer", "rollout", "router"]
    assert told["environment"]["RLJOB_RUN_DIR"] == str(tmp_path / "runs" / "sort-digits")
    assert told["roles"][1]["environment"]["RLJOB_METRICS_PORT"] == "12345"
    assert told["roles"][1]["command"] == f"{sys.executable} -m rljob_trainer"


def test_a_full_disk_is_told_in_one_line(rljob, tmp_path, small_disk):
    (small_disk / "fill").write_bytes(bytes(DISK_BYTES - 8192))
    code, _, err = rljob("run", "job.yaml", "--run-dir", str(small_disk / "run"))
    assert code == 64
    (line,) = err.splitlines()
    assert line.startswith(f"{small_disk}/run: no space left on its disk; free some")


def test_a_wrong_manifest_is_refused_with_its_line(rljob, tmp_path):
    (tmp_path / "job.yaml").write_text(
        MANIFEST.replace("globalBatchSize: 128", "globalBatchSize: 0")
    )
    code, _, err = rljob("run", "job.yaml")
    assert code == 64
    assert "job.yaml:10:50: " in err
    assert "spec.schedule.globalBatchSize" in err
    assert not (tmp_path / "runs").exists()


def test_what_a_local_run_can_not_do_is_refused(rljob, tmp_path):
    (tmp_path / "job.yaml").write_text(MANIFEST.replace("  seed: 1", "  seed: 1\n  suspend: true"))
    code, _, err = rljob("run", "job.yaml", "--dry-run")
    assert code == 64
    assert err.startswith("job.yaml:7:3: spec.suspend: found true, allowed false")


def test_what_is_missing_is_told_before_anything_is_started(rljob, tmp_path):
    (tmp_path / "build" / "train.jsonl").unlink()
    code, _, err = rljob("run", "job.yaml")
    assert code == 64
    assert 'job.yaml:8:20: spec.data.prompts[0]: found "build/train.jsonl", allowed a file' in err
    assert not (tmp_path / "runs").exists()


def test_a_metrics_port_that_is_taken_is_named(rljob):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = rljob("run", "job.yaml", "--metrics-port", str(port))
    assert code == 64
    assert f"--metrics-port: port {port} of 127.0.0.1" in err


def test_more_gpus_than_the_machine_has_are_refused(rljob, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    code, _, err = rljob("run", "job.yaml", "--dry-run")
    assert code == 64
    assert "needs 2 GPUs" in err
    assert "has 1" in err


def test_a_finished_run_says_so(rljob, tmp_path):
    run_dir = write_run_dir(tmp_path / "kept")
    resolved = resolve(job(), tmp_path, run_dir)
    (run_dir / "job.json").write_text(resolved.model_dump_json(by_alias=True))
    before = sorted(path.name for path in run_dir.iterdir())
    code, out, _ = rljob("run", "job.yaml", "--run-dir", "kept")
    assert code == 0
    assert "holds a finished run" in out
    assert sorted(path.name for path in run_dir.iterdir()) == sorted([*before, "lock"])


START = Start(
    incarnation=1,
    rollout=0,
    prompts=9,
    batch_size=16,
    samples=8,
    max_staleness=1,
    max_uses=1,
    buffer_filter=None,
)
ADMIT = Admit(group=1, epoch=0, index=0, version=0)


def write_ledger(run_dir: Path, *events: Event) -> None:
    (run_dir / "ledger.jsonl").write_text(
        "".join(json.dumps(encode(event)) + "\n" for event in events)
    )


def test_another_job_in_the_same_directory_is_refused(rljob, tmp_path):
    run_dir = write_run_dir(tmp_path / "kept", finished=False)
    write_ledger(run_dir, START, ADMIT)
    code, _, err = rljob("run", "job.yaml", "--run-dir", "kept")
    assert code == 64
    # The directory's job was not resolved against this manifest.
    assert (
        f'spec.model.checkpoint: the run has "build/model", found "{tmp_path}/build/model"' in err
    )
    assert not (run_dir / "run.json").exists()


def test_a_start_that_admitted_nothing_pins_nothing(tmp_path):
    directory = RunDirectory(write_run_dir(tmp_path, finished=False))
    write_ledger(tmp_path, START)
    directory.check_job(job(rolloutBatchSize=8, globalBatchSize=64))


def test_a_checkpoint_pins_the_job(tmp_path):
    directory = RunDirectory(write_run_dir(tmp_path, finished=False))
    (tmp_path / "checkpoints" / "step-000000").mkdir(parents=True)
    with pytest.raises(UsageError, match="rolloutBatchSize: the run has 16, found 8"):
        directory.check_job(job(rolloutBatchSize=8, globalBatchSize=64))


def test_limits_of_a_reward_may_change_on_a_resume(rljob, tmp_path):
    reward = "rollout: {reward: {type: math, timeoutSeconds: 5}}"
    given = MANIFEST.replace("rollout: {router: {enabled: true}}", reward)
    (tmp_path / "job.yaml").write_text(given)
    run_dir = tmp_path / "kept"
    run_dir.mkdir()
    before = load_job(tmp_path / "job.yaml")
    RunDirectory(run_dir).write_job(resolve(before, tmp_path, run_dir), tmp_path / "job.yaml")
    write_ledger(run_dir, START, ADMIT)
    changed = given.replace("timeoutSeconds: 5", "timeoutSeconds: 9, retries: 5, memory: 4Gi")
    (tmp_path / "job.yaml").write_text(changed)
    after = resolve(load_job(tmp_path / "job.yaml"), tmp_path, run_dir)
    RunDirectory(run_dir).check_job(after)
    (tmp_path / "job.yaml").write_text(changed.replace("type: math", "type: exact"))
    code, _, err = rljob("run", "job.yaml", "--run-dir", "kept")
    assert code == 64
    assert 'spec.rollout.reward.type: the run has "math", found "exact"' in err
    assert "timeoutSeconds" not in err


def test_a_directory_in_use_is_refused_with_its_user(rljob, tmp_path):
    run_dir = write_run_dir(tmp_path / "kept", finished=False)
    attempt = Attempt(os.getpid(), 0.0, str(run_dir), "http://127.0.0.1:1/status")
    (run_dir / "run.json").write_text(json.dumps(asdict(attempt)))
    with (run_dir / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        code, _, err = rljob("run", "job.yaml", "--run-dir", "kept")
    assert code == 64
    assert f"is in use by `rljob run` with pid {os.getpid()}" in err


def test_a_directory_that_can_not_be_made_is_named(rljob):
    code, _, err = rljob("run", "job.yaml", "--run-dir", "job.yaml/inside")
    assert code == 64
    assert "job.yaml/inside" in err


@pytest.mark.parametrize(
    "changes",
    [{"rollouts": 200}, {"saveInterval": 5}, {"evalInterval": None}, {"targetReward": 0.9}],
)
def test_a_run_may_go_on_with_these_changed(changes):
    assert forbidden_changes(job(), job(**changes)) == []


def test_changes_that_make_another_run_are_named():
    other = job(rolloutBatchSize=8, globalBatchSize=64, rollouts=100)
    assert forbidden_changes(job(), other) == [
        "spec.schedule.rolloutBatchSize: the run has 16, found 8",
        "spec.schedule.globalBatchSize: the run has 128, found 64",
    ]


def test_a_run_that_trains_does_not_become_an_evaluation():
    assert forbidden_changes(job(), job(rollouts=0)) == [
        "spec.schedule.rollouts: the run has 90, found 0"
    ]
    assert forbidden_changes(job(rollouts=0), job()) == []


def test_every_fixed_field_exists():
    from rljob.api.same_run import FIXED
    from rljob.api.vocabulary import schema_at

    assert [name for name in FIXED if schema_at(tuple(name.split("."))) is None] == []


def test_the_lock_is_free_again_when_its_holder_has_gone(tmp_path):
    directory = RunDirectory(Path(tmp_path))
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert directory.in_use()
    assert not directory.in_use()
    directory.lock()
    directory.share()
    assert RunDirectory(Path(tmp_path)).in_use()


def test_a_second_job_of_the_name_on_one_server_is_refused(rljob, tmp_path):
    engine = Engine("rollout-0/1", "rollout-0", "http://127.0.0.1:1")

    async def heartbeat(url: str, key: str) -> None:
        worker = WorkerBuffer(url, key, worker="rollout-0", lease_seconds=5)
        await worker.heartbeat(engine, 60)
        await worker.close()

    with ValkeyServer(tmp_path / "server") as server:
        manifest = tmp_path / "job.yaml"
        manifest.write_text(f"{MANIFEST}  buffer: {{external: {{url: '{server.url}'}}}}\n")
        first = TrainerBuffer(server.url, job().key, owner=Owner("1", "/runs/first on one"))
        first.start(0)
        asyncio.run(heartbeat(server.url, job().key))
        first.set_version(0, [engine.id])
        code, _, err = rljob("run", "job.yaml")
        assert code == 64
        assert "is in use by another run: /runs/first on one" in err
        assert not first.lost()
        first.close()
    failure = read_failure(tmp_path / "runs" / "sort-digits")
    assert failure is not None
    assert "/runs/first on one" in failure.message
