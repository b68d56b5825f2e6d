"""The NetworkPolicy: who may connect to a job's pods."""

from rljob_operator import names
from rljob_operator.children.wanted import Subject, Wanted, child

_OPERATOR = {"app.kubernetes.io/name": "rljob-operator"}
_PROMETHEUS = {"app.kubernetes.io/name": "prometheus"}


def network_policy(subject: Subject) -> Wanted:
    """Allow traffic between the job's pods, and the operator and Prometheus to their metrics."""
    own = {"matchLabels": {names.LABEL_JOB: subject.name}}
    watchers = [
        {"namespaceSelector": {}, "podSelector": {"matchLabels": labels}}
        for labels in (_OPERATOR, _PROMETHEUS)
    ]
    body = {
        "spec": {
            "podSelector": own,
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [{"podSelector": own}]},
                {"from": watchers, "ports": [{"port": names.METRICS_PORT, "protocol": "TCP"}]},
            ],
        }
    }
    return child(subject, "NetworkPolicy", "networking.k8s.io/v1", subject.name, body)
