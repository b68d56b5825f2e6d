"""Where a rollout batch's wall time goes: synchronous, and at most one version stale.

In this workload generation takes about as long as training. Synchronous, one follows the other;
asynchronous, they overlap, so the longer of the two is the limit. Both times are measured in the
synchronous run, where neither slows down the other.

    python benchmarks/step_time.py [--rollouts 24]
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

import torch
from ruamel.yaml import YAML
from transformers import Qwen3Config, Qwen3ForCausalLM

from examples.sort_digits.prepare import write_prompts, write_tokenizer

STAGES = ("generate", "wait", "logprob", "train", "publish", "save")
GOAL = 1.1
WARM_UP = 4  # batches at the start that are not counted


def write_workload(directory: Path) -> None:
    """A model of 1.9 M parameters: large enough that computing, not Python, dominates."""
    torch.manual_seed(1)
    model = directory / "model"
    model.mkdir()
    write_prompts(directory)
    write_tokenizer(model)
    config = Qwen3Config(
        vocab_size=32,
        hidden_size=192,
        intermediate_size=768,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=6,
        head_dim=32,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
        initializer_range=0.05,
    )
    Qwen3ForCausalLM(config).float().save_pretrained(model)


def manifest(directory: Path, rollouts: int, staleness: int) -> dict[str, Any]:
    """The job; only its staleness differs between the two runs."""
    return {
        "apiVersion": "rljob.dev/v1alpha1",
        "kind": "RLJob",
        "metadata": {"name": f"step-time-{staleness}"},
        "spec": {
            "model": {"checkpoint": str(directory / "model")},
            "data": {"prompts": [str(directory / "train.jsonl")], "maxPromptTokens": 8},
            "algorithm": {"samplesPerPrompt": 8},
            "schedule": {
                "rollouts": rollouts,
                "rolloutBatchSize": 16,
                "globalBatchSize": 64,
                "stepsPerRollout": 2,
                "maxStaleness": staleness,
                "saveInterval": rollouts,
            },
            "trainer": {"maxTokensPerGpu": 4096, "optimizer": {"lr": 1e-5}},
            "rollout": {
                "sampling": {"maxResponseTokens": 64, "ignoreEos": True},
                "reward": {"type": "random"},
                "router": {"enabled": False},
                "sglang": {"max_total_tokens": 16384},
            },
        },
    }


def measure(directory: Path, rollouts: int, staleness: int) -> dict[str, float]:
    """Runs the job; mean seconds per batch of each stage and in total, after the warm-up."""
    path = directory / f"job-{staleness}.yaml"
    YAML().dump(manifest(directory, rollouts, staleness), path)
    run_dir = directory / f"run-{staleness}"
    rljob = Path(sys.executable).with_name("rljob")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # one core each for engine and trainer
    subprocess.run(
        [rljob, "run", path, "--run-dir", run_dir], check=True, env=environment, stdout=sys.stderr
    )
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines][WARM_UP:]
    return {
        stage: statistics.mean(record.get(f"time/{stage}", 0.0) for record in records)
        for stage in (*STAGES, "total")
    }


def main() -> None:
    """Prints a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rollouts", type=int, default=24)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_workload(directory)
        synchronous = measure(directory, arguments.rollouts, staleness=0)
        asynchronous = measure(directory, arguments.rollouts, staleness=1)
    print(f"{'seconds per batch':24}{'synchronous':>14}{'maxStaleness 1':>16}")
    for stage in (*STAGES, "total"):
        print(f"{stage:24}{synchronous[stage]:14.3f}{asynchronous[stage]:16.3f}")
    trained = sum(synchronous[stage] for stage in ("logprob", "train", "publish", "save"))
    limit = max(synchronous["generate"], trained)
    print(f"generate alone {synchronous['generate']:.3f} s, train alone {trained:.3f} s")
    result = {
        "name": "asynchronous batch against the longer of generate and train",
        "value": round(asynchronous["total"], 4),
        "unit": "s",
        "peer": round(limit, 4),
        "ratio": round(asynchronous["total"] / limit, 3),
        "goal": GOAL,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
