"""The control plane itself: it is up, checks rights, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.access import service_account
from tests.cluster.client import ApiError, Client, gone_is_done
from tests.cluster.control_plane import ControlPlane
from tests.support.waiting import wait_for


def test_the_version_is_the_one_that_is_promised(cluster: Client) -> None:
    version = cluster.request("GET", "/version")
    assert (version["major"], version["minor"]) == ("1", "35")


def test_a_teardown_takes_what_is_gone_for_done_and_nothing_else(cluster: Client) -> None:
    cluster.discard("v1/configmaps", "gone")
    with gone_is_done():
        cluster.patch("v1/pods", "gone", {"metadata": {"annotations": {"held": None}}})
    with pytest.raises(ApiError) as refused, gone_is_done():
        cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "A B"}})
    assert refused.value.code == 422


def test_a_service_account_may_do_nothing_until_it_is_granted(
    control_plane: ControlPlane, cluster: Client
) -> None:
    user = service_account(control_plane, cluster.namespace, "reader")
    with pytest.raises(ApiError) as refused:
        user.list("v1/pods")
    assert refused.value.reason == "Forbidden"
    assert f"system:serviceaccount:{cluster.namespace}:reader" in refused.value.message


def test_a_service_account_may_do_what_its_rules_say(
    control_plane: ControlPlane, cluster: Client
) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    user = service_account(control_plane, cluster.namespace, "reader", rules)
    wait_for(lambda: _allowed(user), "the grant is known")
    assert user.list("v1/pods") == []
    with pytest.raises(ApiError, match="Forbidden"):
        user.list("v1/secrets")


def test_what_is_stored_outlives_the_api_server(
    control_plane: ControlPlane, cluster: Client
) -> None:
    kept = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}}
    cluster.create(kept)
    control_plane.kill_api_server()
    assert not cluster.is_ready()
    control_plane.start_api_server()
    assert cluster.get("v1/configmaps", "kept")["metadata"]["name"] == "kept"


@pytest.mark.cluster
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind(tmp_path: Path, number: signal.Signals) -> None:
    """Also where nobody is left to clean up."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster", "--nodes", "1"],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        text=True,
    )
    assert process.stdout is not None
    kubeconfig = Path(process.stdout.readline().strip())
    children = _children(process.pid)
    assert Client(kubeconfig).is_ready()
    assert kubeconfig.is_relative_to(tmp_path)
    assert len(children) >= 5
    process.send_signal(number)
    process.wait(30)
    wait_for(lambda: not any(_lives(child) for child in children), "all processes have ended")
    wait_for(lambda: not any(tmp_path.iterdir()), "all files are gone")


def _allowed(user: Client) -> bool:
    """Whether the API server's authorizer has seen the grant yet."""
    try:
        user.list("v1/pods")
    except ApiError:
        return False
    return True


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _lives(pid: int) -> bool:
    """A process that has ended and that nobody has asked about does not count."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}
