"""The PodMonitor, with which the Prometheus operator scrapes the job."""

from rljob_operator import names
from rljob_operator.children.rollout import ROLE as ROLLOUT
from rljob_operator.children.trainer import ROLE as TRAINER
from rljob_operator.children.wanted import Subject, Wanted, child

KIND = "monitoring.coreos.com/PodMonitor"


def pod_monitors(subject: Subject) -> list[Wanted]:
    """The PodMonitor, if that kind is installed in the cluster."""
    if KIND not in subject.cluster.kinds:
        return []
    body = {
        "spec": {
            # The buffer and the router have no metrics of their own.
            "selector": {
                "matchLabels": {names.LABEL_JOB: subject.name},
                "matchExpressions": [
                    {"key": names.LABEL_ROLE, "operator": "In", "values": [TRAINER, ROLLOUT]}
                ],
            },
            # The series' label `job` is the job's name, as in the operator's own metrics.
            "jobLabel": names.LABEL_JOB,
            "podTargetLabels": [names.LABEL_JOB, names.LABEL_ROLE],
            "podMetricsEndpoints": [{"port": "metrics"}],
        }
    }
    return [child(subject, "PodMonitor", "monitoring.coreos.com/v1", subject.name, body)]
