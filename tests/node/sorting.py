"""The sorting demo in the cluster, as examples/sort_digits/README.md has it."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from ruamel.yaml import YAML

from tests.cluster.client import Manifest
from tests.cluster.crd import RESOURCE
from tests.node.cluster import NodeCluster
from tests.node.image import ROLES
from tests.node.place import CHECKOUT, DIRECTORY
from tests.node.pods import JobPods
from tests.support.waiting import wait_for

DEMO = CHECKOUT / "examples" / "sort_digits"
_TRAINER_IMAGE = "ghcr.io/rljob/trainer:latest"


def prepare(cluster: NodeCluster) -> None:
    """The code in a ConfigMap, the model and the prompts on a claim."""
    files = [f"--from-file={DEMO / name}" for name in ("prepare.py", "reward.py")]
    cluster.kubectl("create", "configmap", "sort-digits-code", *files)
    path = DIRECTORY / "data.yaml"
    path.write_text((DEMO / "data.yaml").read_text().replace(_TRAINER_IMAGE, ROLES))
    cluster.kubectl("apply", "-f", path)
    cluster.kubectl("wait", "--for=condition=complete", "--timeout=110s", "job/sort-digits-data")


class SortingJob:
    """A job with the demo's manifest."""

    def __init__(self, cluster: NodeCluster, name: str = "sort-digits") -> None:
        self._cluster = cluster
        self._client = cluster.client()
        self.name = name
        self.pods = JobPods(cluster, name)

    def apply(self, **sections: Any) -> None:
        """By `kubectl apply`; `sections` are merged into those of the spec, lists replace them."""
        manifest = YAML(typ="safe", pure=True).load((DEMO / "kubernetes.yaml").read_text())
        manifest["metadata"]["name"] = self.name
        for section, values in sections.items():
            found = manifest["spec"].get(section, {})
            manifest["spec"][section] = {**found, **values} if isinstance(values, dict) else values
        path = DIRECTORY / f"{self.name}.yaml"
        path.write_text(json.dumps(manifest))
        self._cluster.kubectl("apply", "-f", path)

    def patch(self, **spec: Any) -> None:
        """As `kubectl patch --type merge` does."""
        self._client.patch(RESOURCE, self.name, {"spec": spec})

    def delete(self) -> None:
        """Returns when the job and its pods are gone; its claim stays."""
        self._cluster.kubectl("delete", "rlj", self.name, "--timeout=110s")

    @property
    def status(self) -> Manifest:
        """What `kubectl get -o yaml` shows."""
        found: Manifest = self._client.get(RESOURCE, self.name).get("status", {})
        return found

    @property
    def rollout(self) -> int:
        """Batches trained on, as `kubectl get rlj` shows it."""
        return int(self.status.get("progress", {}).get("rollout", 0))

    def reaches(self, phase: str, seconds: float) -> None:
        """Returns when it has the phase."""
        self.until(lambda: self.status.get("phase") == phase, phase, seconds)

    def until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        """Waits for a condition; if it does not come true, the error describes the job."""

        def holds() -> bool:
            with suppress(httpx.TransportError):  # the API server may be away, or slow
                return condition()
            return False

        try:
            wait_for(holds, f"{self.name}: {what}", seconds, every=0.5)
        except AssertionError as error:
            with suppress(RuntimeError):
                error.add_note(self._cluster.kubectl("describe", "rlj", self.name))
            raise

    def is_whole(self) -> bool:
        """Whether both rollouts are ready, and the trainer says that both engines hold weights.

        A pod that is about to end stays ready for some seconds.
        """
        weights = self.status.get("weights", {})
        return self.pods.ready("rollout") == weights.get("members", 0) == 2

    def trained_since(self, moment: float) -> list[float]:
        """Unix seconds at which each batch after a moment was trained on, by the run's records."""
        records = (self.volume / "metrics.jsonl").read_bytes().splitlines(keepends=True)
        times = [json.loads(line)["time"] for line in records if line.endswith(b"\n")]
        return [time for time in times if time > moment]

    def is_at_rest(self) -> bool:
        """Whether none of its pods is left but those that were kept for their logs."""
        return not self.pods.left()

    def waits_for_an_image(self) -> bool:
        """Whether a pod of its rollout can't get its image."""
        waiting = [
            container["state"].get("waiting", {}).get("reason", "")
            for pod in self.pods.of("rollout")
            for container in pod["status"].get("containerStatuses", [])
        ]
        return bool({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull"} & set(waiting))

    @property
    def failure(self) -> str:
        """The message of the condition Failed."""
        conditions = self.status.get("conditions", [])
        return next((str(each["message"]) for each in conditions if each["type"] == "Failed"), "")

    @property
    def volume(self) -> Path:
        """The run directory, as it is on this machine's disk."""
        return self._cluster.directory_of(f"{self.name}-run")

    def begun(self) -> list[int]:
        """Batches that had been trained on at each start of the trainer, by the run's ledger."""
        return [event["rollout"] for event in self._ledger("start")]

    def consumed(self) -> dict[int, int]:
        """Tokens of each group that was trained on, by the run's ledger."""
        return {event["group"]: event["tokens"] for event in self._ledger("consume")}

    def _ledger(self, event: str) -> list[Manifest]:
        lines = (self.volume / "ledger.jsonl").read_bytes().splitlines(keepends=True)
        found: list[Manifest] = [json.loads(line) for line in lines if line.endswith(b"\n")]
        return [each for each in found if each["event"] == event]

    def events(self) -> set[str]:
        """Reasons of its events."""
        found = self._client.list("events.k8s.io/v1/events")
        return {each["reason"] for each in found if each["regarding"].get("name") == self.name}
