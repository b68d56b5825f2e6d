"""A cluster in memory that applies decisions: for properties over many lives of a job.

It replaces the API server, its controllers and kubelets where thousands of lives are simulated; the
tests under tests/cluster run against the real ones.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rljob.api.status import RLJobStatus
from rljob_operator import names
from rljob_operator.action import (
    Action,
    Annotate,
    Apply,
    Create,
    Decision,
    Delete,
    DeleteJob,
    Event,
    Finalizer,
    Keep,
    Scale,
)
from rljob_operator.children.wanted import digest
from rljob_operator.observed import Child, Cluster, Observed, Pod, Ref, Report, Termination
from rljob_operator.reason import REASONS, Reason, Told
from rljob_operator.reconcile import reconcile
from rljob_operator.state import WORKLOADS

RUNNING = {
    "phase": "running",
    "rollout": 3,
    "rollouts": 10,
    "reward": 0.5,
    "engines": 2,
    "weight_version": 3,
    "waiting": 4,
    "leased": 2,
    "ready": 1,
}
FINISHED = {"phase": "finished", "rollout": 10, "rollouts": 10, "reward": 0.96}
START = datetime(2026, 1, 1, tzinfo=UTC)
CLUSTER = Cluster(
    kinds=frozenset({"scheduling.volcano.sh/PodGroup"}),
    key=b"key",
    images={"trainer": "trainer:1", "rollout": "rollout:1"},
)


def a_job(**spec: Any) -> dict[str, Any]:
    """A manifest as the API server has it; `spec` replaces whole sections."""
    sections: dict[str, Any] = {
        "model": {"checkpoint": "/models/tiny"},
        "data": {"prompts": ["/data/train.jsonl"]},
        "schedule": {"rollouts": 10},
        "rollout": {"replicas": 2, "router": {"enabled": True}},
    }
    return {
        "apiVersion": "rljob.dev/v1alpha1",
        "kind": "RLJob",
        "metadata": {"name": "job", "namespace": "team", "uid": "uid-job", "generation": 1},
        "spec": {**sections, **spec},
    }


def a_pod(role: str, name: str = "", **changes: Any) -> Pod:
    """A ready pod."""
    values: dict[str, Any] = {
        "name": name or f"job-{role}-0",
        "uid": f"uid-{name or role}",
        "role": role,
        "phase": "Running",
        "ready": True,
        "deleting": False,
        "ip": "127.0.0.1",
        "restarts": 0,
        "termination": None,
        "waiting": "",
        "trouble": "",
        "reason": "",
        "deletion_cost": None,
    }
    return Pod(**(values | changes))


def failed(pod: Pod, code: int, message: str = "", at: datetime = START) -> Pod:
    """The pod after its container ended with an exit code."""
    end = Termination(code, "Error", message, at)
    return replace(pod, ready=False, restarts=pod.restarts + 1, termination=end)


class Simulation:
    """One job; `settle` looks at it until nothing is left to do."""

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        """The job as it was just created."""
        self.manifest: dict[str, Any] | None = copy.deepcopy(dict(manifest))
        self.children: dict[Ref, Child] = {}
        self.pods: dict[str, Pod] = {}
        self.report: dict[str, Any] | None = None
        self.now = START
        self.events: list[Event] = []
        self.lazy = False  # its controllers make and end no pods
        self._made = 0

    @property
    def observed(self) -> Observed:
        """What the operator would see now."""
        assert self.manifest is not None
        pods = tuple(self.pods[name] for name in sorted(self.pods))
        report = Report(self.now, self.report) if self.report is not None else None
        return Observed(self.manifest, dict(self.children), pods, report, CLUSTER)

    @property
    def status(self) -> dict[str, Any]:
        """As it was written last."""
        assert self.manifest is not None
        found: dict[str, Any] = self.manifest.get("status", {})
        return found

    def condition(self, name: str) -> dict[str, Any]:
        """A condition of the status; empty where it was not told."""
        found = [each for each in self.status.get("conditions", []) if each["type"] == name]
        return found[0] if found else {}

    def role(self, role: str) -> list[str]:
        """Names of the role's pods."""
        return sorted(name for name, pod in self.pods.items() if pod.role == role)

    def told(self) -> list[str]:
        """Reasons of the events since the last time."""
        reasons = [event.reason for event in self.events]
        self.events.clear()
        return reasons

    def replicas(self, role: str) -> int:
        """That the role's workload has."""
        return sum(
            child.replicas
            for ref, child in self.children.items()
            if ref.kind in WORKLOADS.values() and ref.name == f"job-{role}"
        )

    def look(self) -> Decision:
        """One look, and what follows from it."""
        return self.look_at(self.observed)

    def look_at(self, observed: Observed) -> Decision:
        """The same, where something else is seen."""
        decision = reconcile(observed, self.now)
        check(decision)
        for action in decision.actions:
            self._perform(action)
        if decision.status is not None and self.manifest is not None:
            self.manifest["status"] = _without_null(decision.status)
        self.events += decision.events
        if not self.lazy:
            self._controllers()
        return decision

    def settle(self, most: int = 12) -> "Simulation":
        """Looks until a look leads to no action and no other status."""
        for _ in range(most):
            before = copy.deepcopy((self.manifest, self.children, self.pods))
            decision = self.look()
            after = (self.manifest, self.children, self.pods)
            if self.manifest is None or (not decision.actions and after == before):
                return self
        raise AssertionError(f"not at rest after {most} looks: {decision}")

    def change(self, **spec: Any) -> "Simulation":
        """The user changes sections of the spec."""
        assert self.manifest is not None
        self.manifest["spec"] |= spec
        self.manifest["metadata"]["generation"] += 1
        return self

    def delete(self) -> "Simulation":
        """The user deletes the job."""
        assert self.manifest is not None
        self.manifest["metadata"]["deletionTimestamp"] = self.now.isoformat()
        return self

    def wait(self, seconds: float) -> "Simulation":
        """Time passes."""
        self.now += timedelta(seconds=seconds)
        return self

    def _perform(self, action: Action) -> None:
        assert self.manifest is not None
        match action:
            case Apply(ref, manifest) | Create(ref, manifest):
                if ref.kind == "Secret":
                    return  # not watched
                spec = manifest.get("spec", {})
                known = self.children.get(ref)
                applied = manifest["metadata"]["annotations"][names.ANNOTATION_APPLIED]
                self.children[ref] = Child(
                    ref=ref,
                    uid=known.uid if known else f"uid-{ref.kind}-{ref.name}",
                    owned="ownerReferences" in manifest["metadata"],
                    deleting=False,
                    applied=applied,
                    inputs=manifest["metadata"]["annotations"].get(names.ANNOTATION_INPUTS, ""),
                    made_by=manifest["metadata"]["annotations"].get(names.ANNOTATION_MADE_BY, ""),
                    replicas=spec.get("replicas", 0),
                    revision=digest(spec["template"]) if ref.kind == "StatefulSet" else "",
                )
            case Scale(ref, uid, replicas):
                child = self.children.get(ref)
                if child is not None and child.uid == uid:
                    self.children[ref] = replace(child, replicas=replicas)
            case Delete(Ref("Pod", name), uid):
                if name in self.pods and self.pods[name].uid == uid:
                    del self.pods[name]
            case Delete(ref, uid):
                if ref in self.children and self.children[ref].uid == uid:
                    del self.children[ref]
            case Annotate(name, annotations):
                cost = annotations.get(names.ANNOTATION_DELETION_COST)
                if name in self.pods:
                    value = int(cost) if cost is not None else None
                    self.pods[name] = replace(self.pods[name], deletion_cost=value)
            case Keep(name, uid):
                if name in self.pods and self.pods[name].uid == uid:
                    self.pods[name] = replace(self.pods[name], role="", phase="Failed", ready=False)
            case Finalizer(present):
                self.manifest["metadata"]["finalizers"] = [names.FINALIZER] if present else []
                if not present and "deletionTimestamp" in self.manifest["metadata"]:
                    self.manifest = None
            case DeleteJob():
                self.delete()

    def _controllers(self) -> None:
        for ref, child in self.children.items():
            if ref.kind not in WORKLOADS.values() or not child.owned:
                continue
            role = ref.name.removeprefix("job-")
            alive = [(name, pod) for name, pod in self.pods.items() if not pod.over]
            there = sorted(name for name, pod in alive if pod.role == role)
            for name in there[child.replicas :]:
                del self.pods[name]
            for _ in range(child.replicas - len(there)):
                self._made += 1
                name = f"{ref.name}-{self._number(ref)}"
                if name in self.pods and not self.pods[name].role:
                    continue  # the name is taken by a pod that the job keeps
                made = a_pod(role, name, revision=child.revision, created=self.now)
                self.pods[name] = replace(made, uid=f"uid-{self._made}")
            self._roll(child)

    def _number(self, workload: Ref) -> int:
        if workload.kind == "Deployment":
            return self._made
        names = {name for name, pod in self.pods.items() if pod.role}
        return next(n for n in range(99) if f"{workload.name}-{n}" not in names)

    @property
    def alive(self) -> list[str]:
        """Names of the pods that have not ended."""
        return sorted(name for name, pod in self.pods.items() if not pod.over)

    def _roll(self, workload: Child) -> None:
        """A StatefulSet replaces a pod of an earlier template, where all of them are ready."""
        pods = [pod for pod in self.pods.values() if pod.name.startswith(f"{workload.ref.name}-")]
        old = [pod for pod in pods if pod.revision and pod.revision != workload.revision]
        if old and all(pod.ready for pod in pods):
            self._made += 1
            new = replace(old[-1], revision=workload.revision, uid=f"uid-{self._made}")
            self.pods[new.name] = new


def running(**spec: Any) -> Simulation:
    """A job under way."""
    job = Simulation(a_job(**spec)).settle()
    job.report = dict(RUNNING)
    return job.settle()


def check(decision: Decision) -> None:
    """Whatever is told stands in the lists of reasons, and the API server would take it."""
    for event in decision.events:
        assert event.reason in {*Reason, *Told}, event
        assert event.message, event
    if decision.status is None:
        return
    json.dumps(decision.status, allow_nan=False)
    for each in RLJobStatus.model_validate(decision.status).conditions:
        assert each.reason in REASONS[each.type].get(each.status, ()), each


def _without_null(value: Any) -> Any:
    """As the API server keeps it."""
    if isinstance(value, Mapping):
        return {name: _without_null(each) for name, each in value.items() if each is not None}
    return [_without_null(each) for each in value] if isinstance(value, list) else value
