"""A cluster in memory that does what a decision says: for properties over many lives of a job.

It stands for the API server, its controllers and kubelets where thousands of lives are played; the
tests under tests/cluster run against the real ones.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

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
)
from rljob_operator.observed import Child, Cluster, Observed, Pod, Ref, Report, Termination
from rljob_operator.reconcile import reconcile

START = datetime(2026, 1, 1, tzinfo=UTC)
CLUSTER = Cluster(key=b"key", images={"trainer": "trainer:1", "rollout": "rollout:1"})
WORKLOADS = ("StatefulSet", "Deployment")


def a_job(**spec: Any) -> dict[str, Any]:
    """A manifest as the API server has it; `spec` replaces whole sections."""
    sections: dict[str, Any] = {
        "model": {"checkpoint": "/models/tiny"},
        "data": {"prompts": ["/data/train.jsonl"]},
        "schedule": {"rollouts": 10},
        "rollout": {"replicas": 2},
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

    def replicas(self, role: str) -> int:
        """That the role's workload has."""
        return sum(
            child.replicas
            for ref, child in self.children.items()
            if ref.kind in WORKLOADS and ref.name == f"job-{role}"
        )

    def look(self) -> Decision:
        """One look, and what follows from it."""
        decision = reconcile(self.observed, self.now)
        for action in decision.actions:
            self._perform(action)
        if decision.status is not None and self.manifest is not None:
            self.manifest["status"] = dict(decision.status)
        self.events += decision.events
        self._controllers()
        return decision

    def settle(self, most: int = 20) -> "Simulation":
        """Looks until a look leads to no action and no other status."""
        for _ in range(most):
            before = copy.deepcopy(self.manifest)
            decision = self.look()
            if self.manifest is None or (not decision.actions and self.manifest == before):
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
                self.children[ref] = Child(
                    ref=ref,
                    uid=f"uid-{ref.kind}-{ref.name}",
                    owned="ownerReferences" in manifest["metadata"],
                    deleting=False,
                    applied=manifest["metadata"]["annotations"][names.ANNOTATION_APPLIED],
                    replicas=spec.get("replicas", 0),
                )
            case Delete(ref, _):
                self.children.pop(ref, None)
            case Annotate(name, annotations):
                cost = annotations.get(names.ANNOTATION_DELETION_COST)
                if name in self.pods:
                    value = int(cost) if cost is not None else None
                    self.pods[name] = replace(self.pods[name], deletion_cost=value)
            case Finalizer(present):
                self.manifest["metadata"]["finalizers"] = [names.FINALIZER] if present else []
                if not present and "deletionTimestamp" in self.manifest["metadata"]:
                    self.manifest = None
            case DeleteJob():
                self.delete()

    def _controllers(self) -> None:
        for ref, child in self.children.items():
            if ref.kind not in WORKLOADS:
                continue
            role = ref.name.removeprefix("job-")
            alive = [(name, pod) for name, pod in self.pods.items() if not pod.over]
            there = sorted(name for name, pod in alive if pod.role == role)
            for name in there[child.replicas :]:
                del self.pods[name]
            for _ in range(child.replicas - len(there)):
                self._made += 1
                name = f"{ref.name}-{self._made}"
                self.pods[name] = a_pod(role, name)
