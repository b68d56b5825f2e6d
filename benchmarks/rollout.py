"""How fast workers generate against the engine alone, and what a long tail costs.

First a job of whose batches all responses have 64 tokens. The same engine then gets the same
prompts from SGLang's own benchmark client, all at once, without a worker, a buffer or rewards: the
limit.

Then a job whose responses end at random, a few of them late. Synchronous, the engine waits for the
last of each batch and for the trainer; with `maxStaleness: 1` it goes on with the next batch.

    python benchmarks/rollout.py [--batches 6]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from transformers import AutoTokenizer

from benchmarks.generation.bare_engine import bare_engine, seconds
from benchmarks.step_time import write_workload

PROMPTS = 64  # of a batch
SAMPLES = 8
TOKENS = 64
LONGEST = 512  # of the responses that end at random, after 32 tokens on average
WARM_UP = 2  # batches at the start that are not counted
GOAL = 0.95


def run(directory: Path, name: str, batches: int, **changes: dict[str, Any]) -> Path:
    """Runs a job; `changes` are of sections of its spec."""
    sections: dict[str, dict[str, Any]] = {
        "model": {"checkpoint": str(directory / "model")},
        "data": {"prompts": [str(directory / "train.jsonl")], "maxPromptTokens": 8},
        "algorithm": {"samplesPerPrompt": SAMPLES},
        "schedule": {
            "rollouts": batches + WARM_UP,
            "rolloutBatchSize": PROMPTS,
            "globalBatchSize": PROMPTS * SAMPLES,
            "saveInterval": batches + WARM_UP,
        },
        "trainer": {"maxTokensPerGpu": 16384, "optimizer": {"lr": 1e-6}},
        "rollout": {
            "reward": {"type": "random"},
            "maxConcurrentGroups": PROMPTS,
            "sglang": {"max_total_tokens": 65536},
        },
    }
    spec = {key: {**value, **changes.get(key, {})} for key, value in sections.items()}
    manifest = {
        "apiVersion": "rljob.dev/v1alpha1",
        "kind": "RLJob",
        "metadata": {"name": name},
        "spec": spec,
    }
    path, run_dir = directory / f"{name}.yaml", directory / name
    YAML().dump(manifest, path)
    rljob = Path(sys.executable).with_name("rljob")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # one core each for engine and trainer
    subprocess.run(
        [rljob, "run", path, "--run-dir", run_dir], check=True, env=environment, stdout=sys.stderr
    )
    return run_dir


def mean(run_dir: Path, name: str) -> float:
    """The mean of a metric over the batches after the warm-up."""
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return statistics.mean(json.loads(line)[name] for line in lines[WARM_UP:])


def prompts_of(directory: Path) -> list[list[int]]:
    """Token ids of a batch's prompts, each as often as it has samples."""
    tokenizer = AutoTokenizer.from_pretrained(directory / "model")
    lines = (directory / "train.jsonl").read_text().splitlines()[:PROMPTS]
    ids = [tokenizer(json.loads(line)["prompt"])["input_ids"] for line in lines]
    return [each for each in ids for _ in range(SAMPLES)]


def main() -> None:
    """Prints both comparisons, then a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--batches", type=int, default=6)
    batches = parser.parse_args().batches
    even = {"maxResponseTokens": TOKENS, "ignoreEos": True}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_workload(directory)
        run_dir = run(directory, "even", batches, rollout={"sampling": even})
        worker = PROMPTS * SAMPLES * TOKENS / mean(run_dir, "time/generate")
        prompts = prompts_of(directory)
        with bare_engine(run_dir) as address:
            times = [seconds(address, prompts, TOKENS) for _ in range(batches + WARM_UP)]
        alone = PROMPTS * SAMPLES * TOKENS / statistics.mean(times[WARM_UP:])
        tails = {"sampling": {"maxResponseTokens": LONGEST}}
        rates = {}
        for staleness in (0, 1):
            schedule = {"maxStaleness": staleness}
            tail = run(directory, f"tail-{staleness}", batches, rollout=tails, schedule=schedule)
            rates[staleness] = mean(tail, "throughput/tokens_per_second")
    print(f"{'':36}{'tokens/s':>10}")
    print(f"{'worker, responses of 64 tokens':36}{worker:10.0f}")
    print(f"{'the engine alone':36}{alone:10.0f}")
    print(f"{'whole job, long tail, synchronous':36}{rates[0]:10.0f}")
    print(f"{'whole job, long tail, maxStaleness 1':36}{rates[1]:10.0f}")
    for result in (
        {
            "name": "long tail: a job that generates ahead against a synchronous one",
            "value": round(rates[1], 1),
            "unit": "tokens/s",
            "peer": round(rates[0], 1),
            "ratio": round(rates[1] / rates[0], 3),
            "goal": 1.2,
        },
        {
            "name": "worker against the engine alone",
            "value": round(worker, 1),
            "unit": "tokens/s",
            "peer": round(alone, 1),
            "ratio": round(worker / alone, 3),
            "goal": GOAL,
        },
    ):
        print(json.dumps(result))


if __name__ == "__main__":
    main()
