"""The life of a job, step by step, under a fault; and the state at the end of each step."""

import difflib
import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.cluster import pod
from tests.cluster.client import Client, Manifest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.crd import RESOURCE
from tests.cluster.operator import Operator, namespaced_rights
from tests.cluster.trainer import Trainer
from tests.faults.fault import Fault
from tests.faults.proxy import Proxy
from tests.faults.snapshot import Snapshots

JOB = "math"
_PODS = "v1/pods"
_TRAINER = f"{JOB}-trainer-0"
_GOOD = ("Scheduled", "BufferReady", "TrainerReady", "RolloutReady", "WeightsInSync")
_QUIET_SECONDS = 1.5  # without a write; the operator is at rest then
_LONGEST_SECONDS = 60.0
_LOOK_SECONDS = 0.25


@dataclass
class World:
    """A job's namespace with its operator, the proxy before that, and the trainer's answers."""

    client: Client
    operator: Operator
    proxy: Proxy
    trainer: Trainer
    snapshots: Snapshots
    killed: list[str] = field(default_factory=list)  # the last write before each time
    restarts: int = 0
    memory: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def job(self) -> Manifest:
        """As it is; empty where it has gone."""
        return self.client.find(RESOURCE, JOB) or {}

    def change(self, spec: Manifest) -> None:
        """Merges into the job's spec."""
        self.client.patch(RESOURCE, JOB, {"spec": spec})

    def pods(self, role: str) -> list[Manifest]:
        """Of the job."""
        return self.client.list(_PODS, f"rljob.dev/job={JOB},rljob.dev/role={role}")

    def kill(self) -> None:
        """Ends the operator at once, in any thread; `tend` starts it again."""
        with self.lock:
            os.kill(self.operator.pid, signal.SIGKILL)
            self.killed.append(self.proxy.writes[-1] if self.proxy.writes else "none")

    def tend(self) -> None:
        """Starts the operator that was killed; RuntimeError where it has ended by itself."""
        with self.lock:
            if len(self.killed) > self.restarts:
                self.restarts += 1
                self.operator.kill()
                self.operator.launch()
            self.operator.check()


@dataclass(frozen=True)
class Step:
    """Something that happens to a job.

    Args:
        name: in a word or two.
        act: makes it happen.
        done: whether what must come of it is there, apart from what a snapshot shows.
    """

    name: str
    act: Callable[[World], None]
    done: Callable[[World], bool]


@contextmanager
def world(plane: ControlPlane, fault: Fault, *options: str) -> Iterator[World]:
    """A namespace of its own, in which an operator is starting.

    Args:
        plane: the control plane.
        fault: between it and the operator.
        options: of the operator.
    """
    name = f"life-{uuid.uuid4().hex[:8]}"
    client = plane.client(name)
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    proxy = Proxy(namespaced_rights(plane, name), name, fault)
    operator = Operator(plane, proxy.kubeconfig, "--no-leader-election", *options, namespace=name)
    trainer = Trainer()
    snapshots = Snapshots(client, JOB, {name: "NAMESPACE", trainer.ip: "TRAINER"})
    made = World(client, operator, proxy, trainer, snapshots)
    fault.kill = made.kill
    try:
        operator.launch()
        yield made
    finally:
        operator.kill()
        proxy.close()
        trainer.close()
        plane.client("").delete("v1/namespaces", name)


def lead(world: World, steps: Sequence[Step], known: Sequence[Future[Any]]) -> None:
    """Goes undisturbed through all steps, and tells what stands at the end of each.

    A step ends when what must come of it is there and the operator is at rest.
    """
    try:
        for step, end in zip(steps, known, strict=True):
            step.act(world)
            end.set_result(_rest(world, step))
            world.snapshots.keep()
    except BaseException as error:
        for end in known:
            if not end.done():
                end.set_exception(error)
        raise


def follow(
    world: World, steps: Sequence[Step], known: Sequence[Future[Any]], seconds: float
) -> None:
    """Goes through all steps; each must end as in the undisturbed life.

    Args:
        world: where.
        steps: of the life.
        known: what stood at the end of each of them.
        seconds: that a step may take.

    Raises:
        AssertionError: a step ends otherwise, or not in time.
    """
    for step, end in zip(steps, known, strict=True):
        step.act(world)
        until = time.monotonic() + seconds
        taken = None
        while taken != (wanted := _known(world, end)):
            assert time.monotonic() < until, f"{step.name}: {_difference(world, wanted, taken)}"
            time.sleep(_LOOK_SECONDS)
            world.tend()
            taken = world.snapshots.take() if step.done(world) else None
        world.snapshots.keep()


def _known(world: World, end: Future[Any]) -> Any:
    """Waits for the undisturbed life, which may be under way."""
    while not end.done():
        world.tend()
        time.sleep(_LOOK_SECONDS)
    return end.result()


def _rest(world: World, step: Step) -> Any:
    until = time.monotonic() + _LONGEST_SECONDS
    writes, since = -1, 0.0
    while True:
        world.tend()
        done = step.done(world)
        if not done or writes != len(world.proxy.writes):
            writes, since = len(world.proxy.writes), time.monotonic()
        elif time.monotonic() - since > _QUIET_SECONDS:
            return world.snapshots.take()
        assert time.monotonic() < until, f"{step.name}: {_difference(world, None, None)}"
        time.sleep(_LOOK_SECONDS)


def _difference(world: World, wanted: Any, taken: Any) -> str:
    if taken is None or wanted is None:
        status = json.dumps(world.job().get("status"), indent=1)
        return f"what must come of it does not; the job's status is {status}"
    lines = difflib.unified_diff(
        json.dumps(wanted, indent=1, sort_keys=True).splitlines(),
        json.dumps(taken, indent=1, sort_keys=True).splitlines(),
        "undisturbed",
        "here",
        lineterm="",
        n=4,
    )
    return "it ends otherwise:\n" + "\n".join(lines)


def a_job(world: World) -> Manifest:
    """The job of a life."""
    spec = {
        "model": {"checkpoint": "/models/tiny"},
        "data": {"prompts": ["/data/train.jsonl"]},
        "schedule": {"rollouts": 10, "rolloutBatchSize": 16, "globalBatchSize": 128},
        "trainer": {"gpusPerReplica": 1, "template": world.trainer.template},
        "rollout": {"replicas": 2, "gpusPerReplica": 1},
    }
    metadata = {"name": JOB}
    return {"apiVersion": "rljob.dev/v1alpha1", "kind": "RLJob", "metadata": metadata, "spec": spec}


def runs(world: World, rollouts: int) -> bool:
    """Whether the job runs with so many rollout pods, as it says itself."""
    status = world.job().get("status", {})
    rollout = status.get("rollout", {})
    return (
        status.get("phase") == "Running"
        and rollout.get("ready") == rollout.get("replicas") == rollouts
        and status["weights"]["members"] == rollouts  # or the trainer's word is an old one
        and all(_condition(status, name) == "True" for name in _GOOD)
    )


def _condition(status: Manifest, name: str) -> str:
    return next((c["status"] for c in status.get("conditions", []) if c["type"] == name), "")


def _create(world: World) -> None:
    world.trainer.say(phase="starting")
    world.client.create(a_job(world))


def _started(world: World) -> bool:
    status = world.job().get("status", {})
    return (
        status.get("phase") == "Starting"
        and status["rollout"]["ready"] == 2
        and all(_condition(status, name) == "True" for name in ("Scheduled", "TrainerReady"))
    )


def _run(world: World) -> None:
    world.trainer.say(phase="running", rollout=3, rollouts=10, engines=2, weight_version=3)


def _running(world: World) -> bool:
    return runs(world, 2) and world.job()["status"]["progress"]["display"] == "3/10"


def _scale_up(world: World) -> None:
    world.change({"rollout": {"replicas": 3}})
    world.trainer.say(engines=3)


def _scale_down(world: World) -> None:
    world.change({"rollout": {"replicas": 2}})
    world.trainer.say(engines=2)


def _update_rollout(world: World) -> None:
    world.memory |= dict.fromkeys(_names(world, "rollout"), "")
    world.change({"rollout": {"sglang": {"mem_fraction_static": 0.5}}})


def _rollouts_are_new(world: World) -> bool:
    return runs(world, 2) and not any(name in world.memory for name in _names(world, "rollout"))


def _update_trainer(world: World) -> None:
    _remember_trainer(world)
    world.change({"schedule": {"saveInterval": 7}})


def _lose_trainer(world: World) -> None:
    _remember_trainer(world)
    world.client.delete(_PODS, _TRAINER)


def _trainer_is_new(world: World) -> bool:
    return runs(world, 2) and _uid(world) != world.memory["trainer"]


def _crash_trainer(world: World) -> None:
    pod.terminate(world.client, _TRAINER, 1, "a rank is lost")
    pod.restart(world.client, _TRAINER)


def _restart_is_counted(world: World) -> bool:
    return runs(world, 2) and world.job()["status"]["restarts"] == 1


def _lose_rollout(world: World) -> None:
    name = world.memory["lost"] = _names(world, "rollout")[0]
    pod.evict(world.client, name, "The node was low on resource: memory.")


def _rollout_is_replaced(world: World) -> bool:
    ready = [
        each["metadata"]["name"]
        for each in world.pods("rollout")
        if each["status"].get("phase") == "Running"
    ]
    return runs(world, 2) and len(ready) == 2 and world.memory["lost"] not in ready


def _at_rest(world: World) -> bool:
    """Whether no pod is left but the record of the one that was evicted."""
    return all(each["status"].get("phase") == "Failed" for each in world.client.list(_PODS))


def _suspended(world: World) -> bool:
    status = world.job().get("status", {})
    return status.get("phase") == "Suspended" and _at_rest(world)


def _complete(world: World) -> None:
    world.trainer.say(phase="finished", rollout=10, reward=0.9)


def _completed(world: World) -> bool:
    status = world.job().get("status", {})
    return status.get("phase") == "Succeeded" and _at_rest(world)


def _delete(world: World) -> None:
    world.client.delete(RESOURCE, JOB)


def _remember_trainer(world: World) -> None:
    world.memory["trainer"] = _uid(world)


def _uid(world: World) -> str:
    found = world.client.find(_PODS, _TRAINER)
    return "" if found is None else str(found["metadata"]["uid"])


def _names(world: World, role: str) -> list[str]:
    return [str(each["metadata"]["name"]) for each in world.pods(role)]


STEPS = (
    Step("create", _create, _started),
    Step("run", _run, _running),
    Step("scale up", _scale_up, lambda world: runs(world, 3)),
    Step("scale down", _scale_down, lambda world: runs(world, 2)),
    Step("update the rollout", _update_rollout, _rollouts_are_new),
    Step("update the trainer", _update_trainer, _trainer_is_new),
    Step("lose the trainer's pod", _lose_trainer, _trainer_is_new),
    Step("the trainer crashes", _crash_trainer, _restart_is_counted),
    Step("lose a rollout pod", _lose_rollout, _rollout_is_replaced),
    Step("suspend", lambda world: world.change({"suspend": True}), _suspended),
    Step("resume", lambda world: world.change({"suspend": False}), lambda world: runs(world, 2)),
    Step("complete", _complete, _completed),
    Step("delete", _delete, lambda world: not world.job()),
)
