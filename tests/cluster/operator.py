"""The operator as a process, with the rights that it ships with."""

import os
import signal
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from rljob.cli.port import free_ports
from tests.cluster.access import service_account
from tests.cluster.client import Manifest
from tests.cluster.control_plane import HOST, ControlPlane
from tests.cluster.process import Process

NAME = "rljob-operator"
SYSTEM = "rljob-system"
DEPLOY = Path(__file__).parents[2] / "operator" / "deploy"
_TICKS = os.sysconf("SC_CLK_TCK")
_SECONDS = 60.0  # to start or to stop, on a machine that does much else


def shipped_rights(plane: ControlPlane) -> Path:
    """A kubeconfig with the rights that the operator is shipped with, for all namespaces."""
    client = plane.client("")
    for manifest in _manifests("00-rights.yaml"):
        client.apply(manifest)
    return service_account(plane, SYSTEM, NAME).config


def namespaced_rights(plane: ControlPlane, namespace: str) -> Path:
    """The same rights, in one namespace only, which is also the operator's own."""
    client = plane.client("")
    for manifest in _manifests("00-rights.yaml"):
        match manifest["kind"]:
            case "ClusterRole":
                client.apply(manifest)
            case "ClusterRoleBinding":
                bound = {**manifest, "kind": "RoleBinding"}
                client.apply(_moved(bound, namespace, name=f"{NAME}-jobs"))
            case "Role" | "RoleBinding":
                client.apply(_moved(manifest, namespace, name=NAME))
    return service_account(plane, namespace, NAME).config


def _manifests(file: str) -> list[Manifest]:
    return list(YAML(typ="safe", pure=True).load_all((DEPLOY / file).read_text()))


def _moved(manifest: Manifest, namespace: str, *, name: str) -> Manifest:
    moved = {**manifest, "metadata": {"name": name, "namespace": namespace}}
    if "subjects" in moved:
        moved["subjects"] = [{**each, "namespace": namespace} for each in moved["subjects"]]
    return moved


class Operator:
    """May be started again after it was stopped or killed; ends with this process."""

    def __init__(
        self,
        plane: ControlPlane,
        config: Path,
        *options: str,
        namespace: str = "",
        name: str = "operator",
        module: str = "rljob_operator",
    ) -> None:
        """
        Args:
            plane: whose directory takes the log.
            config: kubeconfig with its rights.
            options: of its command line.
            namespace: the only one that it looks after, and its own; "": all.
            name: of the log, and its identity.
            module: that runs.
        """
        self._port = free_ports(HOST, 1)[0]
        place = f"-{namespace}" if namespace else ""
        self.log = plane.directory / f"{name}{place}.log"
        command = [
            "env",
            f"KUBECONFIG={config}",
            sys.executable,
            "-m",
            module,
            f"--host={HOST}",
            f"--metrics-port={self._port}",
            f"--identity={name}",
            *options,
        ]
        if namespace:
            command += [f"--namespaces={namespace}", f"--own-namespace={namespace}"]
        self._process = Process(command, self.log)

    @property
    def pid(self) -> int:
        """Of the running process."""
        return self._process.pid

    def launch(self) -> None:
        """Starts it, and does not wait."""
        self._process.start()

    def start(self) -> None:
        """Returns when it is ready; RuntimeError with its log if it ended, or is not in time."""
        self.launch()
        self._wait(lambda: self.get("/readyz") != "", "it is not ready")

    def stop(self) -> int:
        """As Kubernetes does, by SIGTERM; the exit code."""
        return self._process.terminate(signal.SIGTERM, _SECONDS)

    def kill(self) -> None:
        """At once."""
        self._process.kill()

    def check(self) -> None:
        """RuntimeError with its log if it has ended by itself."""
        self._process.check()

    def wait_until_leading(self) -> None:
        """Returns when it leads."""
        self._wait(lambda: self.metric("rljob_operator_leading") == 1, "it does not lead")

    def cpu_seconds(self) -> float:
        """CPU time since it began."""
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / _TICKS

    def memory(self) -> tuple[float, float]:
        """Resident memory now, and at its peak; MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in status)
        resident, peak = (int(fields[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM"))
        return resident, peak

    def writes(self) -> float:
        """Requests that write, its Lease's renewals (PUT) aside."""
        name = "rljob_operator_api_requests_total"
        return sum(self.metric(name, method=one) for one in ("POST", "PATCH", "DELETE"))

    def errors(self) -> float:
        """Passes over a job that went wrong."""
        return self.metric("rljob_operator_errors_total")

    def metric(self, name: str, **labels: str) -> float:
        """The sum over all series of a metric that have these labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.get("/metrics"))
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def get(self, path: str) -> str:
        """Body of a reply; "" where there is none or it is an error."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self._port}{path}", timeout=10) as reply:
                return str(reply.read().decode()) or "ok"
        except OSError:
            return ""

    def _wait(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + _SECONDS
        while not condition():
            self._process.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what}:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.05)
