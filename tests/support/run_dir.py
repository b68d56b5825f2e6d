"""The run directory of a finished run of the sorting task, with made-up numbers."""

import json
import math
import random
from pathlib import Path

from rljob.api import RLJob
from rljob.telemetry.metrics import METRICS

MANIFEST = """\
# A made-up run.
apiVersion: rljob.dev/v1alpha1
kind: RLJob
metadata: {name: sort-digits}
spec:
  seed: 1
  model: {checkpoint: build/model}
  data: {prompts: [build/train.jsonl]}
  algorithm: {samplesPerPrompt: 8, entropyCoefficient: 0.05}
  schedule: {rollouts: 90, rolloutBatchSize: 16, globalBatchSize: 128, evalInterval: 30}
  rollout: {router: {enabled: true}}
  evaluation:
    - {name: held-out, prompts: build/held_out.jsonl, sampling: {temperature: 0.0}}
"""


def job(**schedule: object) -> RLJob:
    """The job of the manifest, with some changed values in its schedule."""
    wanted = {"rollouts": 90, "rolloutBatchSize": 16, "globalBatchSize": 128, "evalInterval": 30}
    return RLJob.model_validate(
        {
            "apiVersion": "rljob.dev/v1alpha1",
            "kind": "RLJob",
            "metadata": {"name": "sort-digits"},
            "spec": {
                "seed": 1,
                "model": {"checkpoint": "build/model"},
                "data": {"prompts": ["build/train.jsonl"]},
                "algorithm": {"samplesPerPrompt": 8, "entropyCoefficient": 0.05},
                "schedule": wanted | schedule,
                "rollout": {"router": {"enabled": True}},
                "evaluation": [{"name": "held-out", "prompts": "build/held_out.jsonl"}],
            },
        }
    )


def write_inputs(directory: Path) -> None:
    """Writes the files that the manifest names, as far as they are checked before a start."""
    model = directory / "build" / "model"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    for name in ("train", "held_out"):
        (directory / "build" / f"{name}.jsonl").touch()


def write_run_dir(path: Path, *, rollouts: int = 90, finished: bool = True) -> Path:
    """Writes the files of a run that has trained on this many of its 90 batches."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "job.yaml").write_text(MANIFEST)
    (path / "job.json").write_text(job().model_dump_json(by_alias=True))
    noise = random.Random(7)
    metrics, samples, evaluations = [], [], [_evaluation(0, noise)]
    for rollout in range(1, rollouts + 1):
        metrics.append(_batch(rollout, noise))
        samples += [_sample(rollout, group, noise) for group in range(4)]
        if rollout % 30 == 0:
            evaluations.append(_evaluation(rollout, noise))
    for name, records in (
        ("metrics", metrics),
        ("samples", samples),
        ("evaluations", evaluations),
    ):
        lines = (json.dumps(record) + "\n" for record in records)
        (path / f"{name}.jsonl").write_text("".join(lines))
    if finished:
        summary = {
            "state": "succeeded",
            "seed": 1,
            "seconds": 161.4,
            "rollouts": rollouts,
            "reward_first5": 0.05,
            "reward_last5": 0.96,
            "evaluations": {"held-out": {"before": 0.0, "after": 0.935}},
            "staleness_max": 1,
        }
        (path / "summary.json").write_text(json.dumps(summary))
    return path


def _reward(rollout: int) -> float:
    return 0.02 + 0.95 / (1 + math.exp(-(rollout - 35) / 9))


def _batch(rollout: int, noise: random.Random) -> dict[str, float]:
    reward = _reward(rollout) + noise.gauss(0, 0.012)
    wait, train = 0.6 + noise.random() * 0.15, 0.75 + noise.random() * 0.1
    values = {
        "reward/mean": reward,
        "reward/std": 0.3 * (1 - reward) + 0.05,
        "response/length_mean": 4.0,
        "response/length_max": 4,
        "response/truncated_share": 1.0,
        "advantage/mean": 0.0,
        "advantage/std": 0.3 * (1 - reward) + 0.05,
        "loss/total": -0.12 * (1 - reward) + noise.gauss(0, 0.004),
        "loss/policy": -0.02 + noise.gauss(0, 0.004),
        "loss/kl": 0.0,
        "loss/entropy": 2.3 * (1 - reward) + 0.08,
        "train/gradient_norm": 0.7 + noise.random() * 0.5,
        "train/learning_rate": 1e-3 * (1 - 0.9 * rollout / 300),
        "train/clip_share": 0.04 + 0.02 * noise.random(),
        "train/clip_low_share": 0.02,
        "train/ratio_mean": 1.0,
        "train/ratio_max": 1.5,
        "train/kl_old_mean": 0.01,
        "kl/reference_mean": 1.8 * reward,
        "mismatch/logprob_mean": 4e-7 * (1 + noise.random()),
        "mismatch/logprob_max": 3e-6 * (1 + noise.random()),
        "staleness/mean": 0.8,
        "staleness/max": 1,
        "weights/version": rollout,
        "throughput/samples_per_second": 128 / (wait + train + 0.2),
        "throughput/tokens_per_second": 512 / (wait + train + 0.2),
        "groups/dropped": 0,
        "groups/uses_mean": 1.0,
        "time/wait": wait,
        "time/generate": wait * 0.9,
        "time/logprob": 0.15,
        "time/train": train,
        "time/publish": 0.05,
        "time/save": 0.3 if rollout % 20 == 0 else 0.0,
        "time/evaluate": 0.9 if rollout % 30 == 0 else 0.0,
    }
    values["time/total"] = 0.03 + sum(
        values[f"time/{stage}"]
        for stage in ("wait", "logprob", "train", "publish", "save", "evaluate")
    )
    names = {metric.name for metric in METRICS}
    assert values.keys() <= names, values.keys() - names
    return {"rollout": rollout, "time": 1_795_000_000.0 + 1.8 * rollout, **values}


def _sample(rollout: int, group: int, noise: random.Random) -> dict[str, object]:
    digits = f"{noise.randrange(10_000):04d}"
    label = "".join(sorted(digits))
    good = noise.random() < _reward(rollout)
    response = label if good else "".join(noise.choices("0123456789>abc", k=4))
    right = sum(a == b for a, b in zip(response, label, strict=True)) / 4
    return {
        "rollout": rollout,
        "group": 16 * rollout + group,
        "prompt": f"{digits}>",
        "response": response,
        "label": label,
        "reward": right,
        "version": rollout - 1,
    }


def _evaluation(rollout: int, noise: random.Random) -> dict[str, object]:
    reward = max(0.0, _reward(rollout) - 0.03) if rollout else 0.0
    return {
        "rollout": rollout,
        "time": 1_795_000_000.0 + 1.8 * rollout,
        "name": "held-out",
        "reward": reward,
        "margin": 0.03,
        "pass@1": reward,
        "pass@2": min(1.0, 1.5 * reward),
        "majority@2": reward,
        "length": 4.0,
        "truncated": 0.25,
        "count": 200,
        "failed": 0,
        "samples": [_sample(rollout, group, noise) for group in range(8)],
    }
