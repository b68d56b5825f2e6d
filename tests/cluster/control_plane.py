"""A Kubernetes control plane: etcd, API server, controllers, scheduler, and kwok for nodes."""

import time
from collections.abc import Callable
from pathlib import Path

from rljob.cli.port import free_ports
from tests.cluster import kubeconfig
from tests.cluster.binaries import binaries
from tests.cluster.certificate import Authority, write_key_pair
from tests.cluster.client import Client, Manifest
from tests.cluster.directory import OwnedDirectory
from tests.cluster.process import Process
from tests.cluster.provisioner import Provisioner, VolumeSource, simulated

HOST = "127.0.0.1"
_SERVICES = "10.96.0.0/16"
_SERVICE = ("10.96.0.1", "kubernetes.default.svc")  # the API server, as pods see it
# Connections to a pod that no test answers for are refused at once, and never leave this machine.
_PODS = "127.128.0.0/9"
_STAGES = Path(__file__).with_name("stages.yaml")
_START_SECONDS = 120  # on a machine that does much else

# Endpoints may not be on loopback, where kwok's pods are: the controllers would try for ever.
_WITHOUT = (
    "endpoints-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
)
_FAST = ("--kube-api-qps=1000", "--kube-api-burst=2000")
_WORKERS = ("statefulset", "deployment", "replicaset", "namespace", "gc")


class ControlPlane:
    """Runs from `start` to `stop`, and no longer than this process."""

    def __init__(self, host: str = HOST, volume: VolumeSource = simulated) -> None:
        """
        Args:
            host: address of the API server. On loopback all nodes are kwok's; real nodes need
                another address, which they can reach.
            volume: what a claim of the default storage class is given.
        """
        self._host = host
        self._simulates = host == HOST
        self._owned = OwnedDirectory("rljob-cluster-")
        self.directory = self._owned.path
        self.port = free_ports(host, 1)[0]
        self.url = f"https://{host}:{self.port}"
        self._authority = Authority(self.directory)
        self._write_certificates()
        self.kubeconfig = self._write_kubeconfig("admin")
        self._processes = {
            name: Process([binaries()[name], *arguments], self.directory / f"{name}.log")
            for name, arguments in self._commands().items()
        }
        self._provisioner = Provisioner(self.kubeconfig, volume)

    def issue(self, file: str, user: str, *groups: str, addresses: tuple[str, ...] = ()) -> Path:
        """Writes `<file>.crt`, `<file>.key` and a kubeconfig of this user, which it returns."""
        self._authority.issue(file, user, *groups, addresses=addresses)
        return self._write_kubeconfig(file)

    def client(self, namespace: str = "default") -> Client:
        """One that may do everything."""
        return Client(self.kubeconfig, namespace)

    def start(self, *, workloads: bool = True) -> None:
        """Returns when pods can be created; RuntimeError with the log of a program that ended.

        Args:
            workloads: False: nothing acts on what is stored: no controller, scheduler or node.
        """
        self._processes["etcd"].start()
        self.start_api_server()
        if not workloads:
            return
        for name in list(self._processes)[2:]:
            self._processes[name].start()
        self._provisioner.start()
        client = self.client()
        self._wait(lambda: client.find("v1/serviceaccounts", "default") is not None)

    def stop(self) -> None:
        """Ends all processes and removes all files."""
        self._provisioner.stop()
        for process in reversed(self._processes.values()):
            process.kill()
        self._owned.remove()

    def start_api_server(self) -> None:
        """Returns when it serves."""
        self._processes["kube-apiserver"].start()
        self._wait(self.client().is_ready)

    def kill_api_server(self) -> None:
        """As a crash does; what is stored stays."""
        self._processes["kube-apiserver"].kill()

    def add_nodes(self, count: int, *, gpus: int = 8, pods: int = 250) -> None:
        """Adds nodes `node-0` and so on, and returns when they are ready."""
        client = self.client("")
        resources = {"cpu": "128", "memory": "1Ti", "nvidia.com/gpu": str(gpus), "pods": str(pods)}
        names = [f"node-{number}" for number in range(count)]
        for name in names:
            labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
            metadata = {"name": name, "labels": labels, "annotations": {"kwok.rljob.dev/node": ""}}
            status = {"allocatable": resources, "capacity": resources}
            client.create(
                {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status}
            )
        self._wait(lambda: all(_is_ready(node) for node in client.list("v1/nodes")))

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not condition():
            for process in self._processes.values():
                process.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"the control plane did not start in {_START_SECONDS} s")
            time.sleep(0.05)

    def _write_certificates(self) -> None:
        self._authority.issue("apiserver", "kube-apiserver", addresses=(self._host, *_SERVICE))
        self._authority.issue("admin", "admin", "system:masters")
        for component in ("kube-controller-manager", "kube-scheduler"):
            self.issue(component, f"system:{component}")
        write_key_pair(self.directory, "sa")

    def _write_kubeconfig(self, user: str) -> Path:
        files = {
            "client-certificate": str(self.directory / f"{user}.crt"),
            "client-key": str(self.directory / f"{user}.key"),
        }
        path = self.directory / f"{user}.kubeconfig"
        return kubeconfig.write(path, self.url, self.directory / "ca.crt", files)

    def _commands(self) -> dict[str, list[str]]:
        """Arguments by program, in the order of starting."""
        at = self.directory
        controllers = ["*", *(f"-{name}" for name in _WITHOUT if self._simulates)]
        # etcd speaks on a socket in this directory: no other user of the machine reaches it.
        etcd = f"unix://{at}/etcd.sock"
        commands = {
            "etcd": [
                f"--data-dir={at}/etcd",
                f"--listen-client-urls={etcd}",
                # Must be given, must not be a socket, and is asked by nobody.
                "--advertise-client-urls=http://127.0.0.1:0",
                "--listen-peer-urls=http://127.0.0.1:0",
                "--unsafe-no-fsync",
                "--quota-backend-bytes=8589934592",
                "--log-level=warn",
            ],
            "kube-apiserver": [
                f"--etcd-servers={etcd}",
                f"--bind-address={self._host}",
                f"--advertise-address={self._host}",
                f"--secure-port={self.port}",
                # It refuses loopback.
                f"--endpoint-reconciler-type={'none' if self._simulates else 'lease'}",
                f"--kubelet-client-certificate={at}/admin.crt",
                f"--kubelet-client-key={at}/admin.key",
                "--kubelet-preferred-address-types=InternalIP",
                f"--service-cluster-ip-range={_SERVICES}",
                "--authorization-mode=Node,RBAC",
                f"--client-ca-file={at}/ca.crt",
                f"--tls-cert-file={at}/apiserver.crt",
                f"--tls-private-key-file={at}/apiserver.key",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={at}/sa.pub",
                f"--service-account-signing-key-file={at}/sa.key",
                f"--cert-dir={at}",
                "--profiling=false",
            ],
            "kube-controller-manager": [
                f"--kubeconfig={at}/kube-controller-manager.kubeconfig",
                "--secure-port=0",
                "--leader-elect=false",
                "--use-service-account-credentials=true",
                "--horizontal-pod-autoscaler-sync-period=1s",
                f"--controllers={','.join(controllers)}",
                "--node-monitor-period=1s",
                f"--root-ca-file={at}/ca.crt",
                f"--service-account-private-key-file={at}/sa.key",
                f"--service-cluster-ip-range={_SERVICES}",
                *(f"--concurrent-{name}-syncs=20" for name in _WORKERS),
                *_FAST,
            ],
            "kube-scheduler": [
                f"--kubeconfig={at}/kube-scheduler.kubeconfig",
                "--secure-port=0",
                "--leader-elect=false",
                *_FAST,
            ],
        }
        if self._simulates:
            commands["kwok"] = [
                f"--kubeconfig={self.kubeconfig}",
                f"--config={_STAGES}",
                "--manage-all-nodes=false",
                "--manage-nodes-with-annotation-selector=kwok.rljob.dev/node",
                f"--cidr={_PODS}",
                f"--node-ip={HOST}",
                "--node-port=0",
                "--node-lease-duration-seconds=40",
                "--v=WARN",
            ]
        return commands


def _is_ready(node: Manifest) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
