"""The pod template that all roles share, within the restricted Pod Security Standard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rljob.api import pod_paths
from rljob_operator import names
from rljob_operator.children import rdma
from rljob_operator.children.environment import environment
from rljob_operator.children.overlay import merge
from rljob_operator.children.placement import placement
from rljob_operator.children.pod_group import join
from rljob_operator.children.wanted import Subject

_USER = 65532  # an arbitrary non-root user; an overlay may set another


@dataclass(frozen=True)
class RolePod:
    """The properties in which the pods of roles differ.

    Args:
        role: trainer, rollout, buffer or router.
        module: Python module that runs in the container.
        image: image of the container.
        port: name and number of the port that others connect to; None: there is no fixed one.
        probes: probes of the container.
        grace: termination grace period in seconds.
        resources: resources of the container.
        computes: whether it runs torch and so gets shared memory, RDMA and additional volumes.
        index_field: field of the pod with its number within the role; None: pods have no number.
        volumes: volumes besides those of all roles.
        mounts: mounts of these volumes.
        annotations: annotations of the pods.
        overlay: the user's pod template overlay.
    """

    role: str
    module: str
    image: str
    port: tuple[str, int] | None
    probes: Mapping[str, Any]
    grace: int
    resources: Mapping[str, Any]
    computes: bool = False
    index_field: str | None = None
    volumes: Sequence[Mapping[str, Any]] = ()
    mounts: Sequence[Mapping[str, Any]] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    overlay: Mapping[str, Any] = field(default_factory=dict)


def template(subject: Subject, pod: RolePod) -> dict[str, Any]:
    """The pod template of a role."""
    spec = subject.job.spec
    adapters = spec.network.rdma if pod.computes else None
    labels = names.labels(subject.name, pod.role)
    annotations = rdma.annotations(adapters) if adapters is not None else {}
    made: dict[str, Any] = {
        "metadata": {"labels": dict(labels), "annotations": annotations},
        "spec": {
            "serviceAccountName": subject.name,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": pod.grace,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "fsGroup": _USER,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(subject, pod)],
            "volumes": _volumes(subject, pod),
        },
    }
    if spec.image_pull_secrets:
        made["spec"]["imagePullSecrets"] = [{"name": name} for name in spec.image_pull_secrets]
    if pod.computes:
        made["spec"] |= placement(subject, pod.role)
        join(made, spec.gang.scheduler, subject.name, pod.role)
    merged = merge(made, pod.overlay)
    # Pods are found by these labels, and replaced when these annotations change.
    own = {"labels": labels, "annotations": pod.annotations}
    return merge(merged, {"metadata": own})


def http_probe(path: str, port: str, *, period: int, failures: int) -> dict[str, Any]:
    """A probe by HTTP; `period` in seconds."""
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _container(subject: Subject, pod: RolePod) -> dict[str, Any]:
    adapters = subject.job.spec.network.rdma if pod.computes else None
    ports = dict([pod.port] if pod.port else []) | {"metrics": names.METRICS_PORT}
    resources = dict(pod.resources)
    if adapters is not None:
        limits = resources.get("limits", {}) | rdma.resources(adapters)
        resources["limits"] = limits
    container: dict[str, Any] = {
        "name": pod.role,
        "image": pod.image,
        "command": ["python3", "-m", pod.module],
        "env": environment(subject, pod.role, pod.index_field, adapters),
        "ports": [{"name": name, "containerPort": number} for name, number in ports.items()],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": rdma.security_context(adapters),
        },
        "resources": resources,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(subject, pod),
        **pod.probes,
    }
    if subject.job.spec.image_pull_policy is not None:
        container["imagePullPolicy"] = subject.job.spec.image_pull_policy
    return container


def _volumes(subject: Subject, pod: RolePod) -> list[dict[str, Any]]:
    spec = subject.job.spec
    volumes: list[dict[str, Any]] = [
        {"name": "job", "configMap": {"name": f"{subject.name}-job"}},
        {"name": "tmp", "emptyDir": {}},
        *map(dict, pod.volumes),
    ]
    if pod.computes:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory"}})
        volumes += [
            {
                "name": f"data-{volume.name}",
                "persistentVolumeClaim": {
                    "claimName": volume.claim_name,
                    "readOnly": volume.read_only,
                },
            }
            for volume in spec.storage.volumes
        ]
    if spec.code.config_map_ref is not None:
        volumes.append({"name": "code", "configMap": {"name": spec.code.config_map_ref}})
    return volumes


def _mounts(subject: Subject, pod: RolePod) -> list[dict[str, Any]]:
    spec = subject.job.spec
    mounts: list[dict[str, Any]] = [
        {"name": "job", "mountPath": pod_paths.JOB, "readOnly": True},
        {"name": "tmp", "mountPath": pod_paths.TEMPORARY},
        *map(dict, pod.mounts),
    ]
    if pod.computes:
        mounts.append({"name": "shm", "mountPath": pod_paths.SHARED_MEMORY})
        mounts += [
            {
                "name": f"data-{volume.name}",
                "mountPath": volume.mount_path,
                "readOnly": volume.read_only,
            }
            for volume in spec.storage.volumes
        ]
    if spec.code.config_map_ref is not None:
        mounts.append({"name": "code", "mountPath": pod_paths.CODE, "readOnly": True})
    return mounts
