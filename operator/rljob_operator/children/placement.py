"""Where the pods that compute run, as far as the cluster has room; an overlay may say otherwise."""

from typing import Any

from rljob_operator import names
from rljob_operator.children.wanted import Subject

_HOST = "kubernetes.io/hostname"
_ZONE = "topology.kubernetes.io/zone"


def placement(subject: Subject, role: str) -> dict[str, Any]:
    """Fields of the pod's spec: rollouts on many nodes, a job with fast links in one zone."""
    found: dict[str, Any] = {}
    if role == "rollout":
        # A node that is lost takes few of them along.
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
