"""A node: containerd, kubelet and kube-proxy in namespaces of their own, as on another machine."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster.binaries import NODE, binaries
from tests.cluster.control_plane import ControlPlane
from tests.cluster.process import Process
from tests.node import cgroups
from tests.node.command import run
from tests.node.packages import CNI
from tests.node.place import DIRECTORY
from tests.support.waiting import wait_for

BRIDGE = "rljob0"
_NETWORK = "10.200.0"  # node n has .(10 + n)
_PODS = "10.244"  # pods of node n have .n.0/24
_ALL_PODS = f"{_PODS}.0.0/16"
_SERVICES = "10.96.0.0/16"
DNS = "10.96.0.10"
DOMAIN = "cluster.local"
GATEWAY = f"{_NETWORK}.1"  # the bridge, and the API server's address
_INIT = Path(__file__).with_name("init.sh")
# Written for the whole machine by a kubelet that finds other values.
_SYSCTLS = {"panic": "10", "panic_on_oops": "1", "overcommit_memory": "1"}
_SECONDS = 90


class Machine:
    """A node with a number of its own, from 1; it ends with this process."""

    def __init__(self, plane: ControlPlane, number: int) -> None:
        self._plane = plane
        self._number = number
        self.name = f"node-{number}"
        self.address = f"{_NETWORK}.{10 + number}"
        self.pods = f"{_PODS}.{number}.0/24"
        self._directory = DIRECTORY / self.name
        self._log = DIRECTORY / "logs"
        self._log.mkdir(exist_ok=True)
        self._init = self._process("init", "env", *self._variables(), *_unshare(), "bash", _INIT)
        self._pid = 0  # of init.sh, as seen from outside

    def start(self, *, images: Callable[["Machine"], None] | None = None) -> None:
        """Returns when it is ready.

        Args:
            images: adds images, before any pod may come.
        """
        self._write()
        self._init.start()
        self._connect()
        wait_for(self._containerd_answers, f"containerd of {self.name}", _SECONDS)
        if images is not None:
            images(self)
        self._kubelet = self._inside("kubelet", *self._kubelet_arguments())
        self._proxy = self._inside("kube-proxy", f"--config={self._directory}/proxy.yaml")
        self._kubelet.start()
        self._proxy.start()
        wait_for(self._is_ready, f"{self.name} to be ready", _SECONDS)

    def crash(self) -> None:
        """As a loss of power; `start` is the reboot."""
        self._init.kill()
        self._kubelet.kill()
        self._proxy.kill()

    def restart_kubelet(self) -> None:
        """As its crash; its pods stay."""
        killed = _children(self._kubelet.pid)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        # Until it is gone, its successor finds the port in use, and gives up.
        wait_for(
            lambda: not any(Path(f"/proc/{pid}").exists() for pid in killed),
            f"the kubelet of {self.name} to end",
        )
        self._kubelet.kill()
        self._kubelet.start()

    def run(self, *command: str | Path) -> str:
        """What a command prints that runs on the node itself."""
        return run(*self._enter(), *command)

    def ctr(self, *arguments: str | Path, stdin: Path | None = None) -> str:
        """containerd's own command line, for the images and containers of the kubelet."""
        socket = self._directory / "containerd.sock"
        return run(*self._enter(), "ctr", "-a", socket, "-n", "k8s.io", *arguments, stdin=stdin)

    def add_image(self, archive: Path) -> None:
        """Imports an OCI archive."""
        self.ctr("images", "import", archive)

    def _process(self, name: str, *command: str | Path) -> Process:
        return Process(command, self._log / f"{self.name}-{name}.log")

    def _inside(self, name: str, *arguments: str) -> Process:
        program = binaries(NODE)[name]
        return self._process(name, *self._enter(), program, *arguments)

    def _enter(self) -> list[str]:
        return ["nsenter", "-t", str(self._pid), "-m", "-u", "-i", "-n", "-p"]

    def _variables(self) -> list[str]:
        return [
            f"NODE={self.name}",
            f"DIRECTORY={self._directory}",
            f"LOG={self._log}/{self.name}-containerd.log",
        ]

    def _connect(self) -> None:
        """Gives it an address on the bridge, and routes to other nodes' pods."""
        wait_for(self._has_begun, f"{self.name} to begin", _SECONDS)
        link = f"rljob-{self.name}"
        end = ["peer", "name", "eth0", "netns", str(self._pid)]
        run("ip", "link", "add", link, "type", "veth", *end)
        run("ip", "link", "set", link, "master", BRIDGE, "up")
        for command in (
            "link set lo up",
            f"addr add {self.address}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {GATEWAY}",
            *(
                f"route add {_PODS}.{other}.0/24 via {_NETWORK}.{10 + other}"
                for other in range(1, 5)
                if other != self._number
            ),
        ):
            run("nsenter", "-t", str(self._pid), "-n", "ip", *command.split())
        run("ip", "route", "replace", self.pods, "via", self.address)
        if self._number == 1:  # its kube-proxy serves this process too
            run("ip", "route", "replace", _SERVICES, "via", self.address)

    def _has_begun(self) -> bool:
        self._init.check()
        self._pid = next(iter(_children(self._init.pid)), 0)
        # Only then has `unshare` made the mounts, and the shell taken over.
        return self._pid > 0 and b"bash" in Path(f"/proc/{self._pid}/cmdline").read_bytes()

    def _containerd_answers(self) -> bool:
        self._init.check()
        try:
            self.ctr("version")
        except RuntimeError:
            return False
        return True

    def _is_ready(self) -> bool:
        self._kubelet.check()
        node = self._plane.client("").find("v1/nodes", self.name) or {}
        conditions = node.get("status", {}).get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def _write(self) -> None:
        for name in ("root", "state", "cni", "cni-state", "kubelet", "sysctl", "log"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        for name, value in _SYSCTLS.items():
            (self._directory / "sysctl" / name).write_text(value)
        (self._directory / "resolv.conf").write_text("# no upstream\n")
        (self._directory / "containerd.toml").write_text(self._containerd_toml())
        self._write_json("cni/10-bridge.conflist", self._cni())
        self._plane.issue(
            self.name, f"system:node:{self.name}", "system:nodes", addresses=(self.address,)
        )
        self._plane.issue("kube-proxy", "system:kube-proxy")
        self._write_json("kubelet.yaml", self._kubelet_configuration(cgroups.make(self.name)))
        self._write_json("proxy.yaml", self._proxy_configuration())

    def _write_json(self, name: str, value: dict[str, Any]) -> None:
        (self._directory / name).write_text(json.dumps(value, indent=1))  # JSON is YAML

    def _containerd_toml(self) -> str:
        at = self._directory
        return f"""version = 2
root = "{at}/root"
state = "{at}/state"
[grpc]
  address = "{at}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:test"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI}"
    conf_dir = "{at}/cni"
"""

    def _cni(self) -> dict[str, Any]:
        ranges = {
            "type": "host-local",
            "dataDir": f"{self._directory}/cni-state/addresses",
            "ranges": [[{"subnet": self.pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True}
        return {"cniVersion": "0.4.0", "name": self.name, "plugins": [{**bridge, "ipam": ranges}]}

    def _kubelet_configuration(self, cgroup: str) -> dict[str, Any]:
        at = self._plane.directory
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{at}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": f"{at}/{self.name}.crt",
            "tlsPrivateKeyFile": f"{at}/{self.name}.key",
            "address": self.address,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": cgroup,
            "failCgroupV1": False,
            "failSwapOn": False,
            "maxOpenFiles": 20000,
            "oomScoreAdj": 0,
            "clusterDNS": [DNS],
            "clusterDomain": DOMAIN,
            "resolvConf": f"{self._directory}/resolv.conf",
            "containerRuntimeEndpoint": f"unix://{self._directory}/containerd.sock",
            "podLogsDir": f"{self._directory}/log/pods",
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1%",
                "imagefs.available": "1%",
            },
            "nodeStatusUpdateFrequency": "2s",
            "nodeLeaseDurationSeconds": 8,
            "serializeImagePulls": False,
        }

    def _kubelet_arguments(self) -> list[str]:
        at = self._directory
        return [
            f"--config={at}/kubelet.yaml",
            f"--kubeconfig={self._plane.directory}/{self.name}.kubeconfig",
            f"--root-dir={at}/kubelet",
            f"--cert-dir={at}/kubelet/pki",
            f"--hostname-override={self.name}",
            f"--node-ip={self.address}",
        ]

    def _proxy_configuration(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "clientConnection": {"kubeconfig": f"{self._plane.directory}/kube-proxy.kubeconfig"},
            "hostnameOverride": self.name,
            "clusterCIDR": _ALL_PODS,
            "bindAddress": self.address,
            "oomScoreAdj": 0,
            # Values of the whole machine.
            "conntrack": {
                "maxPerCore": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
        }


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _unshare() -> list[str]:
    kinds = ["--net", "--mount", "--uts", "--ipc", "--pid"]
    return ["unshare", *kinds, "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
