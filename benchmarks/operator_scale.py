"""The operator with many jobs, on a real control plane: time, memory, requests, idle CPU.

All jobs are created as fast as the API server accepts them. For comparison, a client on another
control plane posts the same objects, prepared beforehand: the difference is the operator's part.
Up to 1,000 jobs have pods (kwok's); with more, controllers, scheduler and kwok are not started,
because they would take most of the two cores.

    python benchmarks/operator_scale.py [--jobs 1000] [--changes 300] [--no-pods]
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.scale import change, workload
from benchmarks.scale.api import Api, Manifest, spread
from benchmarks.scale.workload import NAMESPACE, Prepared
from rljob_operator.kind import RLJOB
from tests.cluster.control_plane import ControlPlane
from tests.cluster.operator import Operator, shipped_rights

GOAL = 1.0  # s, p99 from a change to its last write
WITH_PODS = 1000  # jobs
TEMPLATE = "scale-template"
PODS_PER_NODE = 250
IDLE_SECONDS = 30.0
POLL = 0.25  # s
QUIET = 5.0  # s without a request, after which the operator has settled
PATIENCE = 1800.0  # s
CRD = Path(__file__).parents[1] / "crds" / "rljob.dev_rljobs.yaml"


@contextmanager
def control_plane(jobs: int, pods: bool) -> Iterator[ControlPlane]:
    """A control plane with the CRD and the benchmark's namespace."""
    plane = ControlPlane()
    try:
        plane.start(workloads=pods)
        if pods:
            needed = (jobs + 1) * workload.PODS_PER_JOB // PODS_PER_NODE + 1
            plane.add_nodes(needed, gpus=PODS_PER_NODE, pods=PODS_PER_NODE)
        client = plane.client("")
        client.apply_yaml(CRD.read_text())
        client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        while not _served(plane):
            time.sleep(POLL)
        yield plane
    finally:
        plane.stop()


def _served(plane: ControlPlane) -> bool:
    definition = plane.client("").get(
        "apiextensions.k8s.io/v1/customresourcedefinitions", f"{RLJOB.plural}.{RLJOB.group}"
    )
    conditions = definition.get("status", {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


async def with_operator(
    plane: ControlPlane, operator: Operator, names: list[str], changes: int
) -> tuple[dict[str, Any], Prepared]:
    """Runs all jobs; returns what was measured, and the objects of one job."""
    async with Api(plane.kubeconfig) as api:
        empty = await workload.counts(api)
        await api.request("POST", RLJOB.path(NAMESPACE), workload.job(TEMPLATE))
        owner, objects = await workload.complete(api, TEMPLATE)
        one = await workload.counts(api)
        wanted = {kind: one[kind] + (one[kind] - empty[kind]) * len(names) for kind in one}
        requests, cpu = operator.writes(), operator.cpu_seconds()

        began = time.monotonic()
        create = asyncio.create_task(spread(names, lambda name: _create(api, name)))
        while not await _reached(api, wanted):
            if time.monotonic() > began + PATIENCE:
                raise TimeoutError(f"wanted {wanted}, there are {await workload.counts(api)}")
            await asyncio.sleep(POLL)
        seconds = time.monotonic() - began
        await create
        print(f"{len(names)} jobs have their children after {seconds:.1f} s", file=sys.stderr)

        await _settled(operator)
        figures = {
            "jobs": len(names),
            "objects_per_job": len(objects),
            "create_seconds": round(seconds, 2),
            "settled_seconds": round(time.monotonic() - began - QUIET, 1),
            "requests_per_job": round((operator.writes() - requests) / len(names), 2),
            "cpu_ms_per_job": round((operator.cpu_seconds() - cpu) / len(names) * 1e3, 2),
        }
        requests = operator.writes()
        latencies = await change.by_operator(api, names, changes)
        figures |= {
            "requests_per_change": round((operator.writes() - requests) / changes, 2),
            **quantiles(latencies, "change_"),
        }
        await _settled(operator)
        cpu = operator.cpu_seconds()
        await asyncio.sleep(IDLE_SECONDS)
        idle = (operator.cpu_seconds() - cpu) / IDLE_SECONDS
        resident, peak = operator.memory()
        figures |= {
            "idle_cpu_percent": round(idle * 100, 2),
            "rss_mib": round(resident),
            "peak_rss_mib": round(peak),
            "errors": operator.errors(),
        }
        return figures, Prepared(owner, objects)


async def bare(
    plane: ControlPlane, prepared: Prepared, names: list[str], changes: int
) -> dict[str, Any]:
    """Measures a client that only posts the same objects, and makes a change's writes."""
    async with Api(plane.kubeconfig) as api:

        async def post(name: str) -> None:
            uid = (await _create(api, name))["metadata"]["uid"]
            for kind, _, body in prepared.of(name, uid):
                await api.request("POST", kind.path(NAMESPACE), body)

        began = time.monotonic()
        await spread(names, post)
        seconds = time.monotonic() - began
        print(f"a bare client posts as much in {seconds:.1f} s", file=sys.stderr)
        await asyncio.sleep(QUIET)
        latencies = await change.by_hand(api, names, changes)
        return {"bare_create_seconds": round(seconds, 2), **quantiles(latencies, "bare_change_")}


def quantiles(seconds: list[float], name: str) -> dict[str, float]:
    """Median and 99th percentile, in seconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {f"{name}p50": round(cuts[49], 4), f"{name}p99": round(cuts[98], 4)}


async def _create(api: Api, name: str) -> Manifest:
    return await api.request("POST", RLJOB.path(NAMESPACE), workload.job(name))


async def _reached(api: Api, wanted: dict[Any, int]) -> bool:
    for kind, number in wanted.items():
        if await api.count(kind.path(NAMESPACE)) < number:
            return False
    return True


async def _settled(operator: Operator) -> None:
    """Waits until the operator has made no request for a while, except for Lease and progress."""
    last, since, began = operator.writes(), time.monotonic(), time.monotonic()
    while time.monotonic() < since + QUIET:
        await asyncio.sleep(POLL)
        if operator.writes() != last:
            last, since = operator.writes(), time.monotonic()
        if time.monotonic() > began + PATIENCE:
            raise TimeoutError("the operator does not settle")


def main() -> None:
    """Prints the figures, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=300)
    parser.add_argument("--pods", action=argparse.BooleanOptionalAction)
    arguments = parser.parse_args()
    pods = arguments.jobs <= WITH_PODS if arguments.pods is None else arguments.pods
    names = [f"job-{number:05d}" for number in range(arguments.jobs)]
    with control_plane(arguments.jobs, pods) as plane:
        operator = Operator(plane, shipped_rights(plane))
        operator.start()
        try:
            figures, prepared = asyncio.run(
                with_operator(plane, operator, names, arguments.changes)
            )
        finally:
            operator.kill()
    with control_plane(arguments.jobs, pods) as plane:
        figures |= asyncio.run(bare(plane, prepared, names, arguments.changes))
    for name, figure in figures.items():
        print(f"{name:24}{figure:>12}")
    value, peer = figures["change_p99"], figures["bare_change_p99"]
    result = {
        "name": "from a change of a job to its last write, 99th percentile",
        "value": value,
        "unit": "s",
        "peer": peer,
        "ratio": round(value / peer, 2),
        "goal": GOAL,
        "pods": pods,
        "create_ratio": round(figures["create_seconds"] / figures["bare_create_seconds"], 2),
        **figures,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
