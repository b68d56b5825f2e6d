"""Jobs on a control plane, as their users see them."""

import json
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from tests.cluster.client import Client, Manifest, gone_is_done
from tests.cluster.crd import RESOURCE
from tests.cluster.trainer import Trainer
from tests.support.waiting import wait_for

EVENTS = "events.k8s.io/v1/events"
PODS = "v1/pods"
CLAIMS = "v1/persistentvolumeclaims"
WORKLOADS = {
    "trainer": "apps/v1/statefulsets",
    "rollout": "apps/v1/deployments",
    "buffer": "apps/v1/statefulsets",
    "router": "apps/v1/deployments",
}
T = TypeVar("T")


def a_job(name: str = "math", **sections: Any) -> Manifest:
    """A manifest; `sections` replace those of the spec."""
    spec: dict[str, Any] = {
        "model": {"checkpoint": "/models/tiny"},
        "data": {"prompts": ["/data/train.jsonl"]},
        "schedule": {"rollouts": 10, "rolloutBatchSize": 16, "globalBatchSize": 128},
        "trainer": {"gpusPerReplica": 1},
        "rollout": {"replicas": 2, "gpusPerReplica": 1},
        **sections,
    }
    return {
        "apiVersion": "rljob.dev/v1alpha1",
        "kind": "RLJob",
        "metadata": {"name": name},
        "spec": spec,
    }


def eventually(look: Callable[[], T], what: str) -> T:
    """What `look` finds, once that is true."""
    found: list[T] = []

    def is_found() -> bool:
        found[:] = [look()]
        return bool(found[0])

    wait_for(is_found, what)
    return found[0]


class Job:
    """One job; its trainer's pod answers with what `trainer` is told to say."""

    def __init__(self, client: Client, name: str, trainer: Trainer) -> None:
        self.client = client
        self.name = name
        self.trainer = trainer

    def create(self, *, annotations: dict[str, str] | None = None, **sections: Any) -> Manifest:
        """Makes it, with sections in the place of those of `a_job`."""
        manifest = a_job(self.name, **sections)
        manifest["metadata"]["annotations"] = annotations or {}
        trainer = manifest["spec"]["trainer"]
        trainer["template"] = trainer.get("template", {}) | self.trainer.template
        return self.client.create(manifest)

    def run(self, **sections: Any) -> None:
        """Makes it, and returns when it runs."""
        self.trainer.say(phase="running", rollout=3, rollouts=10, engines=2, weight_version=3)
        self.create(**sections)
        self.reaches("Running")

    @property
    def manifest(self) -> Manifest:
        """As it is; empty where it has gone."""
        return self.client.find(RESOURCE, self.name) or {}

    @property
    def status(self) -> Manifest:
        found: Manifest = self.manifest.get("status", {})
        return found

    def condition(self, kind: str) -> Manifest:
        """Empty where it is not told."""
        found = self.status.get("conditions", [])
        return next((each for each in found if each["type"] == kind), {})

    def says(self, kind: str, reason: str) -> Manifest:
        """The condition, once it has this reason."""
        self.until(lambda: self.condition(kind).get("reason") == reason, f"{kind}: {reason}")
        return self.condition(kind)

    def reaches(self, phase: str) -> None:
        """Returns when it has this phase."""
        self.until(lambda: self.status.get("phase") == phase, phase)

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Waits for a condition; tells the job's status where it does not come about."""
        try:
            wait_for(lambda: bool(condition()), f"{self.name}: {what}")
        except AssertionError as error:
            error.add_note(json.dumps(self.manifest.get("status"), indent=1))
            error.add_note("\n".join(map(str, self.events())))
            raise

    def change(self, **spec: Any) -> Manifest:
        """Merges into the spec."""
        return self.client.patch(RESOURCE, self.name, {"spec": spec})

    def poke(self) -> None:
        """Gives the operator a reason to look at it."""
        annotations = {"poke": uuid.uuid4().hex}
        self.client.patch(RESOURCE, self.name, {"metadata": {"annotations": annotations}})

    def delete(self) -> None:
        self.client.delete(RESOURCE, self.name)

    def close(self) -> None:
        """Lets what is held go, deletes the job if it is there, and answers no more."""
        self.trainer.close()
        self._let_go(self.client.list(PODS, self.selector))
        self.client.discard(RESOURCE, self.name)

    @property
    def selector(self) -> str:
        return f"rljob.dev/job={self.name}"

    def pods(self, role: str = "") -> list[Manifest]:
        """Of a role, or of all; those that are over stay as records, and are left out."""
        selector = f"{self.selector},rljob.dev/role={role}" if role else self.selector
        found = self.client.list(PODS, selector)
        return [
            each for each in found if each["status"].get("phase") not in ("Failed", "Succeeded")
        ]

    def uids(self, role: str = "") -> set[str]:
        """Of its pods."""
        return {each["metadata"]["uid"] for each in self.pods(role)}

    def pod(self, role: str) -> str:
        """Name of the first pod of a role."""
        return str(min(each["metadata"]["name"] for each in self.pods(role)))

    def workload(self, role: str) -> Manifest:
        """The StatefulSet or Deployment of a role."""
        return self.client.get(WORKLOADS[role], f"{self.name}-{role}")

    def replicas(self, role: str) -> int:
        """Wanted of a role."""
        found: int = self.workload(role)["spec"]["replicas"]
        return found

    def hold(self, role: str) -> None:
        """Its pods do not finish terminating, until they are let go."""
        for each in self.pods(role):
            self._hold(each, "")

    def let_go(self, role: str) -> None:
        """Ends `hold`."""
        self._let_go(self.pods(role))

    def _let_go(self, pods: list[Manifest]) -> None:
        for each in pods:
            with gone_is_done():
                self._hold(each, None)

    def _hold(self, pod: Manifest, value: str | None) -> None:
        change = {"metadata": {"annotations": {"kwok.rljob.dev/hold": value}}}
        self.client.patch(PODS, pod["metadata"]["name"], change)

    def is_going(self, role: str) -> bool:
        """Whether all of its pods are being deleted."""
        return all("deletionTimestamp" in each["metadata"] for each in self.pods(role))

    def events(self) -> list[tuple[str, str]]:
        """Reason and note of its events, the oldest first."""
        found = [
            each
            for each in self.client.list(EVENTS)
            if (each["regarding"]["kind"], each["regarding"].get("name")) == ("RLJob", self.name)
        ]
        found.sort(key=lambda each: str(each["eventTime"]))
        return [(each["reason"], each["note"]) for each in found]

    def tells(self, reason: str, note: str = "") -> None:
        """Returns when an event with this reason, and this text in its note, is there."""
        self.until(
            lambda: any(reason == one and note in other for one, other in self.events()),
            f"event {reason}: {note}",
        )
