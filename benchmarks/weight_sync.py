"""A published update against a plain broadcast of the same bytes through the same group.

Random weights are gathered into buckets and published to receivers that take part as SGLang does,
but only receive the bytes: loading them costs an engine the same for any transfer. For comparison,
the gathered buckets are broadcast one after another, without a request for each. Both alternate,
from one process to 1, 2 and 4 others on this machine. Then one of four receivers is killed: how
much longer does the next update take, which has to form a new group? Last, the same update goes to
a real engine, to measure the time of loading.

    python benchmarks/weight_sync.py [--megabytes 100 1000] [--receivers 1 2 4] [--no-engine]
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import torch
import torch.distributed as dist
from torch import Tensor

from benchmarks.transport import KEY, start, write_model
from benchmarks.weights.receiver import RAW_PATH
from rljob.api.weights import WeightsSpec
from rljob.buffer.records import Engine
from rljob_rollout.engine import free_port
from rljob_trainer.weights.broadcast import BroadcastGroup
from rljob_trainer.weights.bucket import buckets
from rljob_trainer.weights.calls import Liveness
from rljob_trainer.weights.engine import EngineControl
from rljob_trainer.weights.engine_group import EngineGroup
from rljob_trainer.weights.host_memory import HostMemory
from rljob_trainer.weights.publisher import Publisher
from rljob_trainer.weights.snapshot import Snapshot

GOAL = 0.9
ROUNDS = 5
LAYER_BYTES = 4_000_000


class Registry:
    """The receivers that exist, in place of the buffer."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self.live = list(engines)

    def engines(self) -> list[Engine]:
        return self.live

    def set_version(self, version: int, engine_ids: Sequence[str]) -> None:
        """Does nothing: there is nobody to notify."""

    def set_engine_version(self, engine_id: str, version: int) -> None:
        """Does nothing: there is nobody to notify."""


class Scene:
    """A trainer with weights, and engines that receive them."""

    def __init__(
        self, engines: Sequence[Engine], weights: dict[str, Tensor], admin_key: str | None = None
    ) -> None:
        self.engines = list(engines)
        self.weights = weights
        self.nbytes = sum(tensor.nbytes for tensor in weights.values())
        self.limit = WeightsSpec().bucket_mebibytes * 2**20
        self.version = 0
        self._memory = HostMemory()
        self._groups: list[BroadcastGroup] = []
        self.publisher = Publisher(
            WeightsSpec(), Registry(engines), admin_key=admin_key, new_group=self._new_group
        )

    def publish(self) -> float:
        """Gathers and publishes; returns the seconds that this took."""
        began = time.perf_counter()
        snapshot = Snapshot(self.version)
        self.version += 1
        self.publisher.publish(snapshot)
        snapshot.fill(buckets(self.weights.items(), self.limit, self._memory))
        self.publisher.wait(lambda: None)
        return time.perf_counter() - began

    def broadcast(self) -> float:
        """Sends the same bytes through the same group, and nothing else; returns the seconds."""
        snapshot = list(buckets(self.weights.items(), self.limit, self._memory))
        group = self._groups[-1]
        sizes = [bucket.data.numel() for bucket in snapshot]
        body = {"group_name": group._name, "sizes": sizes}
        with ThreadPoolExecutor() as threads:
            replies = [
                threads.submit(httpx.post, engine.url + RAW_PATH, json=body, timeout=600)
                for engine in self.engines
            ]
            time.sleep(0.3)  # now all of them are receiving
            began = time.perf_counter()
            for bucket in snapshot:
                dist.broadcast(bucket.data, src=0, group=group._group)
            for reply in replies:
                reply.result().raise_for_status()
            return time.perf_counter() - began

    def _new_group(self, members: Sequence[EngineControl], is_live: Liveness) -> EngineGroup:
        group = BroadcastGroup(
            members,
            host="127.0.0.1",
            device=torch.device("cpu"),
            ranks_per_engine=1,
            timeout=120.0,
            is_live=is_live,
        )
        self._groups.append(group)
        return group


@contextmanager
def receivers(count: int) -> Iterator[list[tuple[Engine, subprocess.Popen[bytes]]]]:
    """Runs this many receivers, each in its own process."""
    with ExitStack() as stack:
        started = []
        for number in range(count):
            port = free_port("127.0.0.1")
            command = [sys.executable, "-m", "benchmarks.weights.receiver", str(port)]
            process = subprocess.Popen([*command, str(os.getpid())])
            stack.callback(process.wait)
            stack.callback(process.kill)
            engine = Engine(
                f"receiver-{number}/1", f"receiver-{number}", f"http://127.0.0.1:{port}"
            )
            started.append((engine, process))
        for engine, _ in started:
            _await(engine.url)
        yield started


def _await(url: str) -> None:
    while True:
        try:
            httpx.post(url + "/pause_generation", json={}, timeout=5)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return


def random_weights(megabytes: int) -> dict[str, Tensor]:
    """Layers of equal size."""
    count = max(1, megabytes * 1_000_000 // LAYER_BYTES)
    return {f"layer.{n}": torch.rand(LAYER_BYTES // 4) for n in range(count)}


def measure(megabytes: int, count: int) -> dict[str, float]:
    """Bytes per second of both, and their ratio: the median over alternating rounds."""
    with receivers(count) as started:
        scene = Scene([engine for engine, _ in started], random_weights(megabytes))
        for _ in range(3):
            scene.publish()  # forms the group and touches its memory
        pairs = [(scene.publish(), scene.broadcast()) for _ in range(ROUNDS)]
        scene.publisher.close()
    return {
        "megabytes": scene.nbytes / 1e6,
        "receivers": count,
        "published_mb_s": round(statistics.median(scene.nbytes / 1e6 / p for p, _ in pairs)),
        "broadcast_mb_s": round(statistics.median(scene.nbytes / 1e6 / b for _, b in pairs)),
        "ratio": round(statistics.median(b / p for p, b in pairs), 3),
    }


def measure_new_epoch(megabytes: int) -> dict[str, float]:
    """How many seconds longer an update takes if one of four engines was killed before it."""
    with receivers(4) as started:
        scene = Scene([engine for engine, _ in started], random_weights(megabytes))
        scene.publish()
        usual = statistics.median(scene.publish() for _ in range(ROUNDS))
        # It stays registered, as nobody has noticed yet.
        os.kill(started[0][1].pid, signal.SIGKILL)
        after = scene.publish()
        scene.publisher.close()
    return {"update_s": round(usual, 3), "after_a_death_s": round(after, 3)}


def usual_seconds(scene: Scene) -> float:
    """Seconds of an update through a group that already exists."""
    scene.publish()
    seconds = statistics.median(scene.publish() for _ in range(ROUNDS))
    scene.publisher.close()
    return seconds


async def measure_loading() -> dict[str, float]:
    """Seconds of an update into a receiver's memory, and into an engine that loads it."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        weights = write_model(directory / "model")
        process = start(directory, directory / "model")
        await process.start()
        try:
            await process.wait_until_ready()
            engine = Engine("engine/1", "engine", process.url)
            loaded = usual_seconds(Scene([engine], weights, KEY))
        finally:
            await process.stop()
    with receivers(1) as started:
        received = usual_seconds(Scene([started[0][0]], weights))
    nbytes = sum(tensor.nbytes for tensor in weights.values())
    return {
        "megabytes": round(nbytes / 1e6, 1),
        "receiver_s": round(received, 3),
        "engine_s": round(loaded, 3),
    }


def main() -> None:
    """Prints what was measured; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--receivers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--no-engine", action="store_true", help="leave the real engine out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for megabytes in arguments.megabytes:
        for count in arguments.receivers:
            found.append(measure(megabytes, count))
            print(found[-1], flush=True)
    epoch = measure_new_epoch(arguments.megabytes[0])
    print(epoch)
    loading = None if arguments.no_engine else asyncio.run(measure_loading())
    print(loading)
    worst = min(found, key=lambda each: each["ratio"])
    print(
        json.dumps(
            {
                "name": "weight_sync",
                "value": worst["published_mb_s"],
                "unit": "MB/s",
                "peer": worst["broadcast_mb_s"],
                "ratio": worst["ratio"],
                "goal": GOAL,
                "epoch": epoch,
                "loading": loading,
                "all": found,
            }
        )
    )


if __name__ == "__main__":
    main()
