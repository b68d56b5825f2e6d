"""Whether every estimator learns: runs of the sorting task until the mean reward reaches 0.9.

Real jobs, one after the other, all from the same model. By default each estimator runs
synchronously, which took 29 minutes on two shared cores; `--staleness` and `--correction` choose
other runs. `distillation` has a reward that tells nothing: it learns from a teacher, which is the
model of a run of grpo. curves/learning.json keeps what each run gave; `--draw` makes pictures and
a table of it.

    python benchmarks/learning.py [--estimator grpo] [--staleness 2] [--correction tis]
    python benchmarks/learning.py --draw
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.curves.picture import picture, table
from benchmarks.curves.record import TARGET, Record, load, save

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "sort_digits"
RUNS = ROOT / "build" / "learning"
RESULTS = Path(__file__).parent / "curves" / "learning.json"
PICTURES = ROOT / "docs" / "images"
GOAL = 1.0
DISTILLATION = "distillation"
BATCHES_OF_DISTILLATION = 60  # no reward ends it

# What each changes of the example's spec.
SETTINGS: dict[str, dict[str, Any]] = {
    "grpo": {},
    # The ratio of a whole response is a mean over its tokens and moves less than that of one: a
    # narrower clip, and fewer steps from the weights that generated.
    "gspo": {
        "algorithm": {"clip": {"low": 0.03, "high": 0.04}},
        "schedule": {"rolloutBatchSize": 64, "stepsPerRollout": 2},
    },
    # Its own distances instead of the example's.
    "cispo": {"algorithm": {"clip": {"low": 1.0, "high": 4.0}}},
    # Its advantages are not divided by their deviation: less entropy bonus weighs the same.
    "rloo": {"algorithm": {"entropyCoefficient": 0.01}},
    "ppo": {
        "algorithm": {
            "samplesPerPrompt": 2,
            "gaeLambda": 1.0,
            "critic": {"learningRate": 1.0e-3},
        },
        "schedule": {"rolloutBatchSize": 512},
    },
    "reinforce++": {},
    "reinforce++-baseline": {},
    # Responses of one length: every advantage would be 0 without the teacher.
    DISTILLATION: {
        "algorithm": {"distillation": {"coefficient": 1.0}},
        "rollout": {
            "reward": None,
            "rewards": [
                {"name": "length", "type": "length"},
                {"name": "positions", "type": "reward:right_positions", "weight": 0.0},
            ],
        },
    },
}


def spec_of(estimator: str, staleness: int, correction: str) -> dict[str, Any]:
    """What a run changes of the example's spec, besides its end."""
    changes: dict[str, Any] = merged({}, SETTINGS[estimator])
    if staleness:
        changes = merged(changes, {"schedule": {"maxStaleness": staleness}})
    if correction != "none":
        changes = merged(changes, {"algorithm": {"mismatch": {"correction": correction}}})
    return changes


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with the changes, field by field."""
    result = dict(base)
    for name, value in changes.items():
        old = result.get(name, {})
        result[name] = merged(old, value) if isinstance(value, dict) else value
    return result


def run(estimator: str, staleness: int, correction: str, *, limit: float) -> Record:
    """Runs a job until the target or for `limit` seconds, its start included."""
    inputs = RUNS / "build"
    if not inputs.exists():
        prepare = [sys.executable, EXAMPLE / "prepare.py", "--out", inputs]
        subprocess.run(prepare, check=True)
        shutil.copy(EXAMPLE / "reward.py", RUNS)
    changes = spec_of(estimator, staleness, correction)
    job = YAML(typ="safe").load(EXAMPLE / "job.yaml")
    spec = merged(job["spec"], changes)
    ends = {"rollouts": 1000, "saveInterval": 1000, "evalInterval": None, "targetReward": TARGET}
    reward = "reward/mean"
    if estimator == DISTILLATION:
        ends |= {"rollouts": BATCHES_OF_DISTILLATION, "targetReward": None}
        reward = "rewards/positions"
        spec = merged(spec, {"algorithm": {"distillation": {"teacher": str(_teacher(limit))}}})
    else:
        spec = merged(spec, {"algorithm": {"estimator": estimator}})
    job["spec"] = merged(spec, {"schedule": ends, "evaluation": []})
    name = _name(estimator, staleness, correction)
    job["metadata"]["name"] = name
    path = RUNS / f"{name}.yaml"
    YAML().dump(job, path)
    run_dir = RUNS / name
    shutil.rmtree(run_dir, ignore_errors=True)
    _run_job(path, run_dir, limit)
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    batches = [json.loads(line) for line in lines]
    return Record(
        estimator,
        staleness,
        correction,
        changes,
        rewards=[round(each[reward], 4) for each in batches],
        seconds=[round(at, 1) for at in accumulate(each["time/total"] for each in batches)],
    )


def _name(estimator: str, staleness: int, correction: str) -> str:
    return f"{estimator}-{staleness}-{correction}".replace("+", "p")


def _teacher(limit: float) -> Path:
    """The model of a synchronous run of grpo, which is made if there is none."""
    model = RUNS / _name("grpo", 0, "none") / "model"
    if not model.exists():
        save(RESULTS, run("grpo", 0, "none", limit=limit))
    return model


def _run_job(path: Path, run_dir: Path, limit: float) -> None:
    """`rljob run`, stopped after `limit` seconds as by Ctrl-C."""
    rljob = Path(sys.executable).with_name("rljob")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # one core each for engine and trainer
    command = [rljob, "run", path, "--run-dir", run_dir]
    with subprocess.Popen(command, env=environment, stdout=sys.stderr) as process:
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            process.wait()
            return
    if code:
        raise SystemExit(f"{path.name}: rljob run ended with {code}; see {run_dir}/logs")


def draw(records: Sequence[Record]) -> None:
    """Pictures for the docs: of each kind, once all of its runs are there."""
    taught = [each for each in records if each.estimator == DISTILLATION]
    others = [each for each in records if each.estimator != DISTILLATION]
    synchronous = [each for each in others if not each.staleness]
    stale = [each for each in others if each.staleness]
    if {each.estimator for each in synchronous} == SETTINGS.keys() - {DISTILLATION}:
        (PICTURES / "learning.svg").write_text(picture(synchronous))
    if stale:
        (PICTURES / "learning-stale.svg").write_text(picture(stale))
    if taught:
        (PICTURES / "learning-distillation.svg").write_text(picture(taught))


def main() -> None:
    """Prints a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--estimator", choices=SETTINGS, help="run only this one")
    parser.add_argument("--staleness", type=int, default=0, help="maxStaleness")
    parser.add_argument("--correction", default="none", help="of mismatch: tis, icepop or mis")
    parser.add_argument("--limit", type=float, default=600, help="seconds of a run")
    parser.add_argument("--draw", action="store_true", help="run nothing; draw what was run")
    arguments = parser.parse_args()
    if arguments.draw:
        records = sorted(load(RESULTS), key=lambda one: (one.staleness, one.name))
        draw(records)
    else:
        records = []
        for estimator in [arguments.estimator] if arguments.estimator else SETTINGS:
            record = run(
                estimator, arguments.staleness, arguments.correction, limit=arguments.limit
            )
            save(RESULTS, record)
            records.append(record)
    print(table(records))
    learned = sum(record.learned for record in records)
    result = {
        "name": "learning",
        "value": learned,
        "unit": f"runs above {TARGET}",
        "peer": len(records),
        "ratio": round(learned / len(records), 3),
        "goal": GOAL,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
