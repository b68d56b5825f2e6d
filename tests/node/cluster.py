"""A cluster whose pods really run: a control plane, nodes, DNS, and volumes on the disk."""

import time
from pathlib import Path
from typing import Any

from tests.cluster import kubectl
from tests.cluster.client import Client
from tests.cluster.control_plane import ControlPlane
from tests.node.command import run
from tests.node.image import add_images
from tests.node.machine import BRIDGE, GATEWAY, Machine
from tests.node.place import DIRECTORY
from tests.support.waiting import wait_for

_VOLUMES = DIRECTORY / "volumes"
_DNS = Path(__file__).with_name("dns.yaml")
_SECONDS = 60


class NodeCluster:
    """Runs from `start` to `stop`, in the network namespace of this process."""

    def __init__(self) -> None:
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "address", "add", f"{GATEWAY}/24", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")
        self.plane = ControlPlane(GATEWAY, self._volume)
        self.machines = [Machine(self.plane, 1)]

    def start(self) -> None:
        """Returns when names of services are resolved."""
        self.plane.start()
        for machine in self.machines:
            machine.start(images=add_images)
        self.kubectl("apply", "-f", _DNS)
        self.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns")

    def add_node(self) -> Machine:
        """Another node, ready."""
        machine = Machine(self.plane, len(self.machines) + 1)
        self.machines.append(machine)
        machine.start(images=add_images)
        return machine

    def stop(self) -> None:
        """Ends all processes."""
        for machine in self.machines:
            machine.crash()
        self.plane.stop()

    def without_api_server(self, seconds: float) -> None:
        """Kills it, and starts it again after a time."""
        self.plane.kill_api_server()
        time.sleep(seconds)
        self.plane.start_api_server()

    def client(self, namespace: str = "default") -> Client:
        """One that may do everything."""
        return self.plane.client(namespace)

    def kubectl(self, *arguments: str | Path) -> str:
        """What it prints; RuntimeError where it fails."""
        result = kubectl.kubectl(self.plane.kubeconfig, *arguments)
        if result.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(map(str, arguments))}: {result.stderr}")
        return result.stdout

    def add_claim_of_root(self, name: str) -> None:
        """A claim whose volume only root may write, and whose owner Kubernetes does not change."""
        self._add_claim(name, _VOLUMES / name)

    def add_small_claim(self, name: str, megabytes: int) -> Path:
        """A claim whose volume is a small disk of the first node; returns its directory there."""
        directory = _VOLUMES / name
        self._add_claim(name, directory, node=self.machines[0].name)
        options = f"size={megabytes}m,uid=65532,gid=65532,mode=0770"
        self.machines[0].run("mount", "-t", "tmpfs", "-o", options, "tmpfs", directory)
        return directory

    def _add_claim(self, name: str, directory: Path, node: str | None = None) -> None:
        """A claim of a directory, which pods reach on all nodes, or on one."""
        directory.mkdir(parents=True)
        size = {"storage": "1Gi"}
        modes = ["ReadWriteOnce"]
        volume = {
            "capacity": size,
            "accessModes": modes,
            "storageClassName": "",
            "hostPath": {"path": str(directory)},
            "claimRef": {"namespace": "default", "name": name},
            "nodeAffinity": _on(node),
        }
        claim = {"accessModes": modes, "storageClassName": "", "resources": {"requests": size}}
        for kind, spec in (("PersistentVolume", volume), ("PersistentVolumeClaim", claim)):
            metadata = {"name": name}
            self.client().apply(
                {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}
            )

    def directory_of(self, claim: str, namespace: str = "default") -> Path:
        """Where the files of a bound claim are on this machine's disk."""
        found: list[str] = []

        def is_bound() -> bool:
            spec = self.client(namespace).get("v1/persistentvolumeclaims", claim)["spec"]
            found[:] = [spec["volumeName"]] if "volumeName" in spec else []
            return bool(found)

        wait_for(is_bound, f"claim {claim} to be bound", _SECONDS)
        return _VOLUMES / found[0]

    def _volume(self, name: str) -> dict[str, Any]:
        """A directory that every node has."""
        (_VOLUMES / name).mkdir(parents=True, exist_ok=True)
        return {"local": {"path": str(_VOLUMES / name)}, "nodeAffinity": _on(None)}


def _on(node: str | None) -> dict[str, Any]:
    """The affinity of a volume that is on this node, or on all."""
    wanted = {"operator": "Exists"} if node is None else {"operator": "In", "values": [node]}
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", **wanted}]}]
    return {"required": {"nodeSelectorTerms": terms}}
