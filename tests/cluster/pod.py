"""Changes of a running pod's status, written as the kubelet of 1.35 writes them.

kwok makes a pod ready once and then leaves it alone until it is deleted, so what is written here
stays. A pod that must not even start has the annotation `kwok.rljob.dev/hold`, or an image of the
registry `missing.invalid`.
"""

from datetime import UTC, datetime
from typing import Any

from tests.cluster.client import Client, Manifest

_PODS = "v1/pods"


def terminate(
    client: Client, name: str, exit_code: int, message: str = "", *, reason: str = ""
) -> Manifest:
    """Its first container ends; nothing is restarted yet.

    Args:
        reason: of the container's end; by default what the kubelet says for the exit code.
    """
    now = _now()
    ended = {
        "exitCode": exit_code,
        "reason": reason or ("Completed" if exit_code == 0 else "Error"),
        "startedAt": now,
        "finishedAt": now,
        **({"message": message} if message else {}),
    }
    return _change(client, name, ready=False, state={"terminated": ended})


def kill_for_memory(client: Client, name: str) -> Manifest:
    """Its first container goes over its memory limit."""
    return terminate(client, name, 137, reason="OOMKilled")


def back_off(client: Client, name: str) -> Manifest:
    """The container that has ended waits for its restart: CrashLoopBackOff."""
    pod = client.get(_PODS, name)
    container = pod["spec"]["containers"][0]["name"]
    message = (
        f"back-off 10s restarting failed container={container} "
        f"pod={name}_{client.namespace}({pod['metadata']['uid']})"
    )
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
    return _change(client, name, ready=False, state=waiting)


def restart(client: Client, name: str) -> Manifest:
    """The container that has ended runs again, and is ready."""
    return _change(client, name, ready=True, state={"running": {"startedAt": _now()}}, restarts=1)


def evict(client: Client, name: str, message: str) -> Manifest:
    """The node ends the pod, as under pressure; its controller has to replace it."""
    status = {"phase": "Failed", "reason": "Evicted", "message": message, **_conditions(False)}
    return client.patch(_PODS, name, {"status": status}, subresource="status", strategic=True)


def _change(
    client: Client, name: str, *, ready: bool, state: dict[str, Any], restarts: int = 0
) -> Manifest:
    """Gives the first container a state; one that had ended becomes its last state."""
    status = client.get(_PODS, name)["status"]
    containers: list[dict[str, Any]] = status["containerStatuses"]
    first = containers[0]
    if "terminated" in first["state"]:
        first["lastState"] = first["state"]
    first.update(state=state, ready=ready, started=ready)
    first["restartCount"] += restarts
    # A merge patch replaces the whole list: no state of before is left beside the new one.
    change = {"containerStatuses": containers, "conditions": _merged(status["conditions"], ready)}
    return client.patch(_PODS, name, {"status": change}, subresource="status")


def _merged(conditions: list[dict[str, Any]], ready: bool) -> list[dict[str, Any]]:
    new = {condition["type"]: condition for condition in _conditions(ready)["conditions"]}
    return [*(c for c in conditions if c["type"] not in new), *new.values()]


def _conditions(ready: bool) -> dict[str, Any]:
    rest = {"status": "True"} if ready else {"status": "False", "reason": "ContainersNotReady"}
    now = _now()
    kinds = ("ContainersReady", "Ready")
    return {"conditions": [{"type": kind, "lastTransitionTime": now, **rest} for kind in kinds]}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
