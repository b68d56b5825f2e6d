"""A whole job from the command line: real Megatron, SGLang and Valkey; and its results.

One undisturbed run is checked in all respects. A second one of the same job is interrupted, then
loses its trainer to SIGKILL, and must have trained on the same prompts in the same order.
"""

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from rljob.report.record import read_records
from rljob.telemetry.incident import read_incidents
from tests.monitoring import parts
from tests.monitoring.prometheus import prometheus, scrape, target
from tests.support.job import RLJOB, Run, manifest
from tests.support.registries import metrics_text
from tests.support.replay import Recording, replayed
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

ROLLOUTS = 6
BATCH = 8  # groups
SAMPLES = 4
# What Prometheus has only in a cluster, of all that the job's dashboard shows.
ELSEWHERE = {
    "rljob_job_progress_ratio": "of the operator",
    "kube_pod_container_status_restarts_total": "of kube-state-metrics",
}
EVALUATED = [
    (0, "sampled"),
    (0, "held-out"),
    (3, "held-out"),
    (6, "sampled"),
    (6, "held-out"),
]
SCRAPES = 30  # that are shown to Prometheus, at a second each


@dataclass
class Observed:
    """A finished run, and what its trainer and its worker told while it ran."""

    run: Run
    status: dict[str, Any]
    metrics: str
    scraped: dict[str, list[str]]  # by role: its metrics, twice a second


def job(task: Path) -> dict[str, Any]:
    """What both runs have in common: a reference, several rewards, evaluations, a checkpoint."""
    return {
        "algorithm__kl": {"lossCoefficient": 0.01},
        "schedule__rollouts": ROLLOUTS,
        "schedule__evalInterval": 3,
        "rollout__reward": None,
        "rollout__rewards": [
            {"name": "positions", "type": "reward:right_positions"},
            {"name": "length", "type": "length", "weight": 0.5},
        ],
        "evaluation": [
            {
                "name": "sampled",
                "prompts": str(task / "held_out.jsonl"),
                "limit": 8,
                "samplesPerPrompt": 4,
                "interval": ROLLOUTS,
                "passReward": 0.5,
                "sampling": {"topK": 2, "maxResponseTokens": 3},
            },
            {
                "name": "held-out",
                "prompts": str(task / "held_out.jsonl"),
                "limit": 16,
                "sampling": {"temperature": 0.0},
                "reward": {"type": "reward:all_right"},
            },
        ],
    }


@pytest.fixture(scope="module")
def undisturbed(task: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """A run of six batches that nobody disturbed."""
    directory = tmp_path_factory.mktemp("runs") / "undisturbed"
    run = Run(directory, manifest(task, **job(task), rollout__router={"enabled": True})).start()
    try:
        run.wait_until(lambda: bool(worker_ports(run)), "the worker has started")
        url = json.loads((directory / "run.json").read_text())["status_url"]
        recordings = {
            "trainer": Recording(url.replace("/status", "/metrics")),
            "rollout": Recording(f"http://127.0.0.1:{worker_ports(run)[0]}/metrics"),
        }
        run.wait_until(lambda: run.trained() >= 1, "the first batch")
        # The journal has it a moment before /status has.
        run.wait_until(lambda: json.loads(read(url))["rollout"] >= 1, "the first batch's status")
        status = json.loads(read(url))
        metrics = read(url.replace("/status", "/metrics"))
        assert run.wait() == 0, run.text()
        for recording in recordings.values():
            recording.end()
        scraped = {role: recording.texts for role, recording in recordings.items()}
        yield Observed(run, status, metrics, scraped)
    finally:
        run.kill()


def worker_ports(run: Run) -> list[str]:
    """Ports of the workers' metrics, which are any free ones: their logs tell them."""
    start = run.directory / "run.json"
    if not start.exists():
        return []
    logs = Path(json.loads(start.read_text())["logs"])
    texts = [path.read_text(errors="replace") for path in logs.rglob("*") if path.is_file()]
    return re.findall(r"worker\.started metrics_port=(\d+)", "\n".join(texts))


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as reply:
        body: bytes = reply.read()
        return body.decode()


def test_every_group_is_trained_on_once(undisturbed: Observed) -> None:
    run = undisturbed.run
    consumed = run.consumed()
    assert len(consumed) == ROLLOUTS * BATCH
    assert len({(epoch, index) for _, epoch, index in consumed}) == len(consumed)
    assert [rollout for rollout, _, _ in consumed] == [
        rollout for rollout in range(1, ROLLOUTS + 1) for _ in range(BATCH)
    ]
    assert run.events("drop") == []
    assert f"{ROLLOUTS} batches of {BATCH} groups; the run has ended" in run.audit()


def test_synchronous_tokens_are_never_stale(undisturbed: Observed) -> None:
    run = undisturbed.run
    assert all(event["versions"] == [event["version"]] for event in run.events("consume"))
    assert {record["staleness/max"] for record in run.records("metrics")} == {0.0}
    assert [event["version"] for event in run.events("publish")] == list(range(ROLLOUTS + 1))


def test_trainer_and_engine_agree_on_every_token(undisturbed: Observed) -> None:
    """After each of the seven updates the engine's log-probabilities are the trainer's."""
    for record in undisturbed.run.records("metrics"):
        assert 0 < record["mismatch/logprob_max"] < 1e-4


def test_first_batch_starts_at_the_reference(undisturbed: Observed) -> None:
    first, *_, last = undisturbed.run.records("metrics")
    # The trainer itself stops if they differ before the first step; later they drift apart.
    assert 0 < first["kl/reference_mean"] < last["kl/reference_mean"]
    assert first["loss/entropy"] > 1.0
    assert 0 < first["train/gradient_norm"] < 50


def test_summary_tells_the_outcome(undisturbed: Observed) -> None:
    summary = undisturbed.run.summary()
    assert summary["state"] == "succeeded"
    assert summary["rollouts"] == ROLLOUTS
    assert summary["weight_versions"] == ROLLOUTS + 1
    assert summary["staleness_max"] == 0
    assert set(summary["evaluations"]) == {"held-out", "sampled"}
    assert evaluated(undisturbed.run) == EVALUATED


def evaluated(run: Run) -> list[tuple[int, str]]:
    """Which data set was evaluated after how many batches."""
    return [(record["rollout"], record["name"]) for record in run.records("evaluations")]


def test_rewards_are_summed_and_told_by_name(undisturbed: Observed) -> None:
    """The length is that of all responses here: the whole of what is allowed."""
    for record in undisturbed.run.records("metrics"):
        assert record["rewards/length"] == 1.0
        assert record["reward/mean"] == pytest.approx(record["rewards/positions"] + 0.5, abs=1e-6)
    for sample in undisturbed.run.records("samples"):
        assert sample["reward"] == sample["rewards"]["positions"] + 0.5
    assert 'rljob_rewards_mean{name="positions"}' in undisturbed.metrics
    report = (undisturbed.run.directory / "report.html").read_text()
    assert "Rewards by name, before their weights" in report


def test_a_data_set_is_sampled_several_times(undisturbed: Observed) -> None:
    """With the rewards of training, of which the length alone is 0.5 x 3 / 3."""
    first, _ = [
        each for each in undisturbed.run.records("evaluations") if each["name"] == "sampled"
    ]
    assert first["count"] == 32
    assert first["length"] == 3.0
    assert first["pass@1"] == first["pass@2"] == first["pass@4"] == 1.0
    assert first["reward"] >= 0.5
    assert first["margin"] > 0


def test_samples_can_be_read(undisturbed: Observed) -> None:
    samples = undisturbed.run.records("samples")
    assert {sample["rollout"] for sample in samples} == set(range(1, ROLLOUTS + 1))
    for sample in samples:
        assert "".join(sorted(sample["prompt"].rstrip(">"))) == sample["label"]
        assert len(sample["response"]) <= 4


def test_run_leaves_checkpoint_model_report_and_tensorboard(undisturbed: Observed) -> None:
    directory = undisturbed.run.directory
    assert sorted(path.name for path in (directory / "checkpoints").iterdir()) == [
        "step-000003",
        "step-000006",
    ]
    assert (directory / "model" / "model.safetensors").exists()
    assert (directory / "model" / "tokenizer.json").exists()
    assert list((directory / "tensorboard").glob("events.*"))
    report = (directory / "report.html").read_text()
    assert "held-out" in report
    assert "reward" in report


def test_trainer_answers_status_and_metrics(undisturbed: Observed) -> None:
    assert undisturbed.status["rollouts"] == ROLLOUTS
    assert undisturbed.status["rollout"] >= 1
    assert undisturbed.status["engines"] == 1
    assert "rljob_reward_mean " in undisturbed.metrics
    assert "rljob_weights_version " in undisturbed.metrics


def test_trainer_has_the_metrics_that_dashboards_and_alerts_name(
    undisturbed: Observed, tmp_path: Path
) -> None:
    """They are checked against `metrics_text`, so that must be what a real trainer serves."""
    assert types(undisturbed.metrics) == types(metrics_text("trainer", tmp_path))
    values = dict(re.findall(r"^(\w+) (\S+)$", undisturbed.metrics, re.MULTILINE))
    assert float(values["rljob_incarnation"]) == 1
    assert float(values["rljob_staleness_bound"]) == 0
    assert float(values["rljob_mismatch_bound"]) == pytest.approx(0.001)  # float32
    used = float(values["rljob_buffer_memory_bytes"])
    assert 0 < used < float(values["rljob_buffer_memory_limit_bytes"])
    assert 'rljob_buffer_groups{state="ready"}' in undisturbed.metrics


def types(text: str) -> list[str]:
    return sorted(line for line in text.splitlines() if line.startswith("# TYPE "))


def test_every_panel_of_the_jobs_dashboard_shows_the_run(
    undisturbed: Observed, tmp_path: Path
) -> None:
    """A real Prometheus scrapes what the roles told; its program is built if it is not there.

    It comes after the run, because on a small machine it would slow it down.
    """
    wanted = parts.queries("job")
    there = [expr for expr in wanted if not parts.named(expr) & ELSEWHERE.keys()]
    assert len(there) == len(wanted) - len(ELSEWHERE)
    with ExitStack() as stack:
        targets = [
            target(
                stack.enter_context(replayed(texts[-SCRAPES:])),
                namespace="ml",
                rljob_dev_role=role,
                pod=f"math-{role}-0",
            )
            for role, texts in undisturbed.scraped.items()
        ]
        server = stack.enter_context(prometheus(tmp_path, [scrape("math", *targets)]))
        server.wait_for_answers(there)


def test_engines_are_paused_for_a_part_of_the_update(undisturbed: Observed) -> None:
    for record in undisturbed.run.records("metrics"):
        assert 0 < record["weights/pause_seconds"] < record["weights/update_seconds"]


def test_secrets_are_in_no_log_and_on_no_command_line(undisturbed: Observed) -> None:
    run = undisturbed.run
    texts = [run.text()] + [
        path.read_text(errors="replace") for path in run.directory.rglob("*.log") if path.is_file()
    ]
    assert not any("Bearer" in text or "requirepass" in text for text in texts)


def test_finished_run_is_not_run_again(undisturbed: Observed) -> None:
    assert undisturbed.run.run() == 0
    assert "finished" in undisturbed.run.text().splitlines()[-1]
    assert len(undisturbed.run.consumed()) == ROLLOUTS * BATCH


def test_its_last_checkpoint_is_evaluated_alone(undisturbed: Observed) -> None:
    """Greedily it must have the score that the run's own last evaluation found.

    The checkpoint is exported, and its weights are sent to new engines by a trainer without an
    optimizer.
    """
    run = undisturbed.run.directory
    done = subprocess.run(
        [RLJOB, "eval", run],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    directory = run / "evaluations" / f"step-{ROLLOUTS:06d}"
    alone = read_records(directory / "evaluations.jsonl").records
    assert [(each["rollout"], each["name"]) for each in alone] == [(0, "sampled"), (0, "held-out")]
    last = undisturbed.run.records("evaluations")[-1]
    assert (alone[-1]["name"], alone[-1]["reward"]) == (last["name"], last["reward"])
    lines = done.stdout.splitlines()
    assert any(line.startswith("evaluated in ") and "held-out" in line for line in lines)
    assert any("│" in line and "held-out" in line for line in lines)
    assert lines[-1] == str(directory / "evaluations.jsonl")
    # Nothing was trained, and what was exported is gone.
    assert read_records(directory / "metrics.jsonl").records == []
    left = {path.name for path in directory.iterdir()}
    assert not left & {"checkpoints", "model", "exported"}
    assert json.loads((directory / "summary.json").read_text())["rollouts"] == 0
    audited = subprocess.run(
        [RLJOB, "audit", directory], capture_output=True, text=True, check=True
    )
    assert f"0 batches of {BATCH} groups; the run has ended" in audited.stdout


def test_interrupted_and_killed_run_is_as_if_undisturbed(
    undisturbed: Observed, task: Path, new_run: Callable[..., Run]
) -> None:
    """Ctrl-C in the first half, SIGKILL of the trainer in the second, resumed both times.

    Before that the only worker and the buffer's server are killed; both are started again.
    """
    run = new_run("disturbed", **job(task)).start()
    run.wait_until(lambda: run.trained() >= 1, "the first batch")
    family = psutil.Process(run.pid).children(recursive=True)
    run.interrupt()
    assert run.wait(30) == 130, run.text()
    wait_for(lambda: not any(alive(process) for process in family), "all roles to end", 10)
    assert run.summary()["state"] == "stopped"

    # An interrupted run may finish the batch that it is in.
    trained = run.trained()
    run.start()
    run.wait_until(lambda: run.trained() > trained, "a batch of the resumed run")
    kill_worker_and_buffer(run)
    for beginning in (
        "rollout[0] was killed by SIGKILL; restarting it",
        "buffer[0] failed with exit code 1: ",
    ):
        run.wait_until(lambda start=beginning: incident(run, start), beginning)
    run.wait_until(lambda: run.trained() > trained + 1, "a batch of the new worker")
    assert all(each.message in run.text() for each in read_incidents(run.directory))
    killed = kill_trainer(run)
    assert run.wait(60) == 1, run.text()
    assert "trainer" in run.text().split("Traceback")[-1]
    assert "are open" in run.audit()
    wait_for(lambda: not any(alive(process) for process in killed), "all roles to end", 20)

    assert run.run() == 0, run.text()
    assert run.summary()["rollouts"] == ROLLOUTS
    assert run.consumed() == undisturbed.run.consumed()
    assert [r["rollout"] for r in run.records("metrics")] == list(range(1, ROLLOUTS + 1))
    assert evaluated(run) == EVALUATED
    assert max(event["incarnation"] for event in run.events("start")) >= 3
    assert "the run has ended" in run.audit()


def incident(run: Run, beginning: str) -> bool:
    """Whether one was noted whose message begins so."""
    return any(each.message.startswith(beginning) for each in read_incidents(run.directory))


def kill_worker_and_buffer(run: Run) -> None:
    """SIGKILL for the worker, which leaves its engine behind, and for the Valkey server."""
    family = psutil.Process(run.pid).children(recursive=True)
    (server,) = [process for process in family if process.name() == "valkey-server"]
    (worker,) = [process for process in family if process.cmdline()[-1:] == ["rljob_rollout"]]
    worker.kill()
    server.kill()


def kill_trainer(run: Run) -> list[psutil.Process]:
    """SIGKILL for the trainer's rank; returns all processes of the run."""
    family = psutil.Process(run.pid).children(recursive=True)
    (rank,) = [p for p in family if "rljob_trainer.rank" in p.cmdline()]
    os.kill(rank.pid, signal.SIGKILL)
    return family


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
