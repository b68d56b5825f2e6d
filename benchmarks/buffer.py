"""The buffer against the same bytes through plain Redis commands: speed, latency, memory.

Groups are admitted, leased, completed and collected by the trainer's and the workers' clients. For
comparison, as many clients send the same records through streams of the same server, in pipelines,
and decode them, but without any guarantees: leases never expire, nothing is counted, and a lost
reply loses its records. Latencies are those of 64 workers that each do one group at a time.

    python benchmarks/buffer.py [--groups 2000] [--tokens 1024]
"""

import argparse
import asyncio
import json
import math
import statistics
import tempfile
import time
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import redis
import redis.asyncio

from rljob.buffer.client import TrainerBuffer, WorkerBuffer
from rljob.buffer.keys import Keys
from rljob.buffer.records import (
    Completion,
    Engine,
    Group,
    Lease,
    Sample,
    Segment,
    Trajectory,
    VersionSpan,
)
from tests.support.valkey import ValkeyServer

GOAL = 0.8
MEMORY_GOAL = 1.2
SAMPLES = 8
WORKERS = 4  # for the throughput; the latency is measured with 64
IN_HAND = 64
CHUNK = 256
JOB = "team/job"


def a_group(number: int, incarnation: int) -> Group:
    """A prompt of 256 tokens."""
    return Group(
        id=number,
        incarnation=incarnation,
        kind="train",
        prompt="p" * 1024,
        prompt_tokens=np.arange(256, dtype=np.int32),
        messages=None,
        label="4",
        metadata={"source": f"train.jsonl:{number}"},
        samples=SAMPLES,
        sampling={},
        reward={},
        seed=number,
    )


def a_completion(group: Group, tokens: int) -> Completion:
    """Eight responses."""
    segment = Segment.generated(
        np.arange(tokens, dtype=np.int32),
        np.zeros(tokens, np.float32),
        [VersionSpan(0, 0, tokens)],
    )
    samples = tuple(
        Sample(
            index=index,
            response="r" * tokens * 4,
            trajectories=(Trajectory(None, segment),),
            reward=0.5,
            rewards={},
            status="completed",
            metadata={},
        )
        for index in range(SAMPLES)
    )
    return Completion(group.id, group.incarnation, "w", samples, None, False, 1.0, 2.0)


async def work(
    url: str, name: str, tokens: int, in_hand: int, done: asyncio.Event
) -> list[list[float]]:
    """A worker that completes every group at once; returns the seconds of leases, completions."""
    buffer = WorkerBuffer(url, JOB, worker=name, lease_seconds=60)
    leasing, completing = [], []

    async def complete(lease: Lease) -> None:
        made = a_completion(lease.group, tokens)
        began = time.perf_counter()
        await buffer.complete(lease, made)
        completing.append(time.perf_counter() - began)

    while not done.is_set():
        began = time.perf_counter()
        leases = await buffer.lease(f"{name}/e", in_hand)
        if not leases:
            await buffer.wait(0.05)
            continue
        leasing.append(time.perf_counter() - began)
        await asyncio.gather(*map(complete, leases))
    await buffer.close()
    return [leasing, completing]


def through_the_buffer(
    server: ValkeyServer, groups: int, tokens: int, workers: int, in_hand: int
) -> tuple[float, list[list[float]]]:
    """Seconds for all groups, and the times of leases and completions."""
    trainer = TrainerBuffer(server.url, JOB)
    incarnation = trainer.start(0)
    names = [f"w{number}" for number in range(workers)]

    async def register() -> None:
        for name in names:
            buffer = WorkerBuffer(server.url, JOB, worker=name, lease_seconds=60)
            await buffer.heartbeat(Engine(f"{name}/e", name, "http://none"), 600)
            await buffer.close()

    asyncio.run(register())
    trainer.set_version(0, [f"{name}/e" for name in names])

    def train() -> None:
        trainer.admit(a_group(number, incarnation) for number in range(groups))
        collected = 0
        while collected < groups:
            collected += len(trainer.collect(1.0))

    async def run() -> tuple[float, list[list[float]]]:
        done = asyncio.Event()
        tasks = [
            asyncio.create_task(work(server.url, name, tokens, in_hand, done)) for name in names
        ]
        began = time.perf_counter()
        await asyncio.to_thread(train)
        seconds = time.perf_counter() - began
        done.set()
        times = await asyncio.gather(*tasks)
        return seconds, [list(chain.from_iterable(each[kind] for each in times)) for kind in (0, 1)]

    result = asyncio.run(run())
    trainer.destroy()
    trainer.close()
    return result


def through_plain_commands(server: ValkeyServer, groups: int, tokens: int, workers: int) -> float:
    """Seconds for the same records in pipelines, with as many clients as for the buffer."""
    client = server.client()
    streams = [f"groups-{number}" for number in range(workers)]

    def train() -> None:
        for first in range(0, groups, CHUNK):
            pipeline = client.pipeline(transaction=False)
            for number in range(first, min(first + CHUNK, groups)):
                record = {"group": a_group(number, 1).pack()}
                pipeline.xadd(streams[number % workers], record)
            pipeline.execute()
        collected = 0
        while collected < groups:
            reply: Any = client.xread({"samples": "0"}, count=CHUNK, block=1000)
            entries = reply[0][1] if reply else []
            collected += len([Completion.unpack(values[b"completion"]) for _, values in entries])
            client.xdel("samples", *(entry for entry, _ in entries))

    async def answer(stream: str) -> None:
        connection = redis.asyncio.Redis.from_url(server.url)
        left = len(range(streams.index(stream), groups, workers))
        last = b"0"
        while left:
            reply = await connection.xread({stream: last}, count=IN_HAND, block=1000)
            pipeline = connection.pipeline(transaction=False)
            for last, values in reply[0][1] if reply else []:
                made = a_completion(Group.unpack(values[b"group"]), tokens)
                pipeline.xadd("samples", {"completion": made.pack()})
                pipeline.xdel(stream, last)
                left -= 1
            await pipeline.execute()
        await connection.aclose()

    async def run() -> float:
        began = time.perf_counter()
        await asyncio.gather(asyncio.to_thread(train), *map(answer, streams))
        return time.perf_counter() - began

    return asyncio.run(run())


def memory(server: ValkeyServer, groups: int, tokens: int) -> float:
    """Bytes that the server needs for a completed group, over the bytes of its record."""
    trainer = TrainerBuffer(server.url, JOB)
    incarnation = trainer.start(0)
    client: redis.Redis = server.client()
    made = [a_group(number, incarnation) for number in range(groups)]
    before = client.info("memory")["used_memory"]

    async def complete_all() -> None:
        buffer = WorkerBuffer(server.url, JOB, worker="w", lease_seconds=60)
        await buffer.heartbeat(Engine("w/e", "w", "http://none"), 600)
        trainer.set_version(0, ["w/e"])
        trainer.admit(made)
        for lease in await buffer.lease("w/e", groups):
            await buffer.complete(lease, a_completion(lease.group, tokens))
        await buffer.close()

    asyncio.run(complete_all())
    used = client.memory_usage(Keys(JOB)["samples"], samples=0)
    raw = sum(len(a_completion(group, tokens).pack()) for group in made)
    print(f"server's memory grew by {client.info('memory')['used_memory'] - before:,} bytes")
    trainer.destroy()
    trainer.close()
    assert used is not None
    return float(used) / raw


def p99(values: list[float]) -> float:
    """The 99th percentile, in milliseconds."""
    return sorted(values)[math.ceil(len(values) * 0.99) - 1] * 1e3


def main() -> None:
    """Prints a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--groups", type=int, default=2000)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    groups, tokens = arguments.groups, arguments.tokens
    with tempfile.TemporaryDirectory() as name, ValkeyServer(Path(name)) as server:
        through_the_buffer(server, CHUNK, tokens, WORKERS, IN_HAND)  # warm-up
        pairs = [
            (
                through_the_buffer(server, groups, tokens, WORKERS, IN_HAND)[0],
                through_plain_commands(server, groups, tokens, WORKERS),
            )
            for _ in range(arguments.rounds)
        ]
        _, (leasing, completing) = through_the_buffer(server, groups, tokens, 64, 1)
        held = memory(server, CHUNK, tokens)
    ours, plain = (statistics.median(pair[kind] for pair in pairs) for kind in (0, 1))
    group = a_group(1, 1)
    size = len(group.pack()) + len(a_completion(group, tokens).pack())
    print(f"{'':24}{'groups/s':>10}{'MB/s':>8}")
    for label, seconds in (("buffer", ours), ("plain commands", plain)):
        print(f"{label:24}{groups / seconds:10.0f}{groups * size / seconds / 1e6:8.1f}")
    print(f"with 64 workers: p99 of a lease {p99(leasing):.1f} ms, of a completion ", end="")
    print(f"{p99(completing):.1f} ms")
    print(f"memory of a ready group over its record: {held:.3f} (goal: at most {MEMORY_GOAL})")
    result = {
        "name": "groups through the buffer against plain pipelined commands",
        "value": round(groups / ours, 1),
        "unit": "groups/s",
        "peer": round(groups / plain, 1),
        "ratio": round(statistics.median(plain / ours for ours, plain in pairs), 3),
        "goal": GOAL,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
