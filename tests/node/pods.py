"""The pods of a job, and the processes in them as this machine sees them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.client import Manifest
from tests.cluster.jobs import PODS
from tests.node.cluster import NodeCluster


class JobPods:
    """Finds and kills what belongs to a job."""

    def __init__(self, cluster: NodeCluster, job: str) -> None:
        self._client = cluster.client()
        self._job = job

    def of(self, role: str) -> list[Manifest]:
        """Pods of a role that are not being deleted, by name."""
        selector = f"rljob.dev/job={self._job},rljob.dev/role={role}"
        found = self._client.list(PODS, selector)
        alive = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return sorted(alive, key=lambda pod: str(pod["metadata"]["name"]))

    def left(self) -> list[Manifest]:
        """Pods of all roles that have not ended, also those that are being deleted."""
        found = self._client.list(PODS, f"rljob.dev/job={self._job}")
        return [pod for pod in found if pod["status"].get("phase") not in ("Failed", "Succeeded")]

    def delete(self, role: str) -> None:
        """Deletes the first pod of a role, as `kubectl delete pod` does."""
        self._client.delete(PODS, self.of(role)[0]["metadata"]["name"])

    def evict(self, role: str) -> None:
        """Evicts the first pod of a role, as `kubectl drain` does."""
        metadata = self.of(role)[0]["metadata"]
        path = self._client.path(PODS, metadata["name"], "eviction")
        name = {"name": metadata["name"], "namespace": metadata["namespace"]}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": name}
        self._client.request("POST", path, body)

    def kill(self, role: str, program: str, number: signal.Signals = signal.SIGKILL) -> None:
        """A signal for the process of a role's first pod whose command line has `program`."""
        os.kill(self.process(role, program), number)

    def process(self, role: str, program: str) -> int:
        """Id of that process."""
        return min(_processes(self.of(role)[0]["metadata"]["uid"], program))

    def ready(self, role: str) -> int:
        """How many of a role are ready."""
        return sum(
            condition["status"] == "True"
            for pod in self.of(role)
            for condition in pod["status"].get("conditions", [])
            if condition["type"] == "Ready"
        )

    def restarts(self, role: str) -> int:
        """Restarts of the containers of a role's present pods."""
        return sum(
            int(container["restartCount"])
            for pod in self.of(role)
            for container in pod["status"].get("containerStatuses", [])
        )


def _processes(pod_uid: str, program: str) -> Iterator[int]:
    """Ids of the pod's processes, by the cgroup that they are in."""
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            belongs = pod_uid in (directory / "cgroup").read_text()
            if belongs and program in (directory / "cmdline").read_text().replace("\0", " "):
                yield int(directory.name)
        except OSError:
            continue  # it has ended
