"""Scheduling preferences of trainer and rollout pods; an overlay may change them."""

from typing import Any

from rljob_operator import names
from rljob_operator.children.wanted import Subject

_HOST = "kubernetes.io/hostname"
_ZONE = "topology.kubernetes.io/zone"


def placement(subject: Subject, role: str) -> dict[str, Any]:
    """Fields of the pod spec: spread rollouts over nodes, keep tightly coupled jobs in one zone."""
    found: dict[str, Any] = {}
    if role == "rollout":
        # A lost node then affects few of them.
        found["topologySpreadConstraints"] = [
            {
                "topologyKey": _HOST,
                "maxSkew": 1,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": names.selector(subject.name, role)},
            }
        ]
    if subject.job.spec.network.rdma is not None or subject.job.spec.trainer.replicas > 1:
        term = {
            "topologyKey": _ZONE,
            "labelSelector": {"matchLabels": names.selector(subject.name, "trainer")},
        }
        found["affinity"] = {
            "podAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 100, "podAffinityTerm": term}
                ]
            }
        }
    return found
