"""The cost of an update by transport: seconds with one engine, and bytes if a disk is used.

A model of 25 M parameters (99 MB) is updated repeatedly. In one case its 32-bit weights all change,
as after steps of 1e-3 from random weights; in the other its weights have 16 bits and few change, as
after steps of 1e-6. The engine generates during preparation, then pauses.

    python benchmarks/transport.py [--updates 5]
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

from rljob.api import RLJob
from rljob.buffer.records import Engine
from rljob.plan.environment import RoleEnvironment
from rljob_rollout.engine import EngineProcess
from rljob_trainer.weights.bucket import buckets
from rljob_trainer.weights.engine import EngineControl
from rljob_trainer.weights.engine_group import EngineGroup
from rljob_trainer.weights.host_memory import HostMemory
from rljob_trainer.weights.snapshot import Snapshot
from rljob_trainer.weights.transport import open_transport

HOST = "127.0.0.1"
KEY = "key"
BUCKET = 16 * 2**20
TRANSPORTS: dict[str, dict[str, Any]] = {
    "broadcast": {"transport": "broadcast"},
    "ipc": {"transport": "ipc"},
    "disk": {"transport": "disk"},
    "disk, deltas": {"transport": "disk", "fullInterval": 1000},
}
STEPS = {"32 bits, steps of 1e-3": (torch.float32, 1e-3), "16 bits, 1e-6": (torch.bfloat16, 1e-6)}


def write_model(directory: Path) -> dict[str, Tensor]:
    """Writes the model; returns its weights."""
    torch.manual_seed(1)
    config = Qwen3Config(
        vocab_size=4096,
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=8,
        head_dim=64,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
    )
    model = Qwen3ForCausalLM(config).float()
    model.save_pretrained(directory)
    return {name: value.detach() for name, value in model.state_dict().items()}


def job(checkpoint: Path, weights: dict[str, Any]) -> RLJob:
    """The job of the engine."""
    return RLJob.model_validate(
        {
            "apiVersion": "rljob.dev/v1alpha1",
            "kind": "RLJob",
            "metadata": {"name": "transport"},
            "spec": {
                "device": "cpu",
                "model": {"checkpoint": str(checkpoint)},
                "data": {"prompts": ["/none"]},
                "schedule": {"rollouts": 1},
                "weights": weights,
            },
        }
    )


def start(directory: Path, checkpoint: Path) -> EngineProcess:
    """Starts an engine as a worker does."""
    file = directory / "job.json"
    file.write_text(job(checkpoint, {}).model_dump_json(by_alias=True))
    os.environ |= RoleEnvironment(
        role="rollout",
        replica=0,
        job_file=str(file),
        run_dir=str(directory),
        buffer_url="redis://127.0.0.1:1/0",
        engine_api_key=KEY,
        engine_admin_key=KEY,
        metrics_port=0,
        router_port=1,
        host=HOST,
        rendezvous=f"{HOST}:1",
    ).to_env()
    os.environ |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return EngineProcess(HOST, directory / "engine.log", [], directory / "engines")


def snapshot(version: int, weights: dict[str, Tensor], dtype: torch.dtype) -> Snapshot:
    """A snapshot that is already gathered."""
    made = Snapshot(version)
    given = ((name, value.to(dtype)) for name, value in weights.items())
    made.fill(buckets(given, BUCKET, HostMemory()))
    return made


async def update(group: EngineGroup, weights: Snapshot) -> tuple[float, float]:
    """Updates as the publisher does; returns the seconds before the pause, and of the pause."""
    began = time.perf_counter()
    await group.prepare(weights)
    prepared = time.perf_counter()
    await group.each(lambda member: member.pause("retract"))
    await group.deliver(weights, flush_cache=True)
    await group.each(EngineControl.resume)
    return prepared - began, time.perf_counter() - prepared


async def measure(
    url: str, spec: RLJob, run_dir: Path, states: list[Snapshot]
) -> tuple[float, float, float]:
    """Median seconds before and during the pause, and megabytes on disk of the last update."""
    device = torch.device("cpu")
    opened = open_transport(spec.spec, host=HOST, device=device, run_dir=run_dir)
    group = opened.new_group(
        [EngineControl(Engine(id="engine", worker="worker", url=url), KEY, 300.0)], lambda _: True
    )
    await group.meet()
    await update(group, states[0])
    seconds = [await update(group, state) for state in states[1:]]
    await group.close()
    last = max((run_dir / "weights").glob("[0-9]*"), default=None)
    files = list(last.glob("model-*")) if last is not None else []
    before, paused = (statistics.median(each) for each in zip(*seconds, strict=True))
    return before, paused, sum(file.stat().st_size for file in files) / 1e6


async def run(directory: Path, updates: int) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Measurements by steps and transport."""
    weights = write_model(directory / "model")
    process = start(directory, directory / "model")
    await process.start()
    try:
        await process.wait_until_ready()
        found: dict[str, dict[str, tuple[float, float, float]]] = {}
        for steps, (dtype, size) in STEPS.items():
            states = []
            for version in range(updates + 1):
                states.append(snapshot(version, weights, dtype))
                weights = {
                    name: value - size * torch.randn(value.shape).clamp(-2, 2)
                    for name, value in weights.items()
                }
            found[steps] = {
                name: await measure(
                    process.url,
                    job(directory / "model", transport),
                    directory / f"{steps[:2]} {name}",
                    states,
                )
                for name, transport in TRANSPORTS.items()
            }
        return found
    finally:
        await process.stop()


def main() -> None:
    """Prints a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--updates", type=int, default=5)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        found = asyncio.run(run(Path(name), parser.parse_args().updates))
    for steps, transports in found.items():
        print(f"{steps:26}{'before':>10}{'paused':>10}{'MB':>10}")
        for transport, (before, paused, size) in transports.items():
            print(f"  {transport:24}{before:>10.3f}{paused:>10.3f}{size:>10.2f}")
    small = found["16 bits, 1e-6"]
    result = {
        "name": "megabytes of an update of few numbers as a delta against a full version",
        "value": round(small["disk, deltas"][2], 3),
        "unit": "MB",
        "peer": round(small["disk"][2], 3),
        "ratio": round(small["disk, deltas"][2] / small["disk"][2], 4),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
