"""The trainer: a StatefulSet, because its pods need stable names, and its headless Service."""

from typing import Any, Final

from rljob.api import pod_paths
from rljob_operator import names
from rljob_operator.children import claim, job_file, resources
from rljob_operator.children.kueue import queue_labels
from rljob_operator.children.pod import RolePod, http_probe, template
from rljob_operator.children.wanted import Subject, Wanted, child

ROLE: Final = "trainer"
_GRACE_SECONDS = 300  # a step and a checkpoint


def trainer(subject: Subject) -> list[Wanted]:
    """The headless Service and the StatefulSet."""
    name = f"{subject.name}-{ROLE}"
    selector = names.selector(subject.name, ROLE)
    service = {
        "spec": {
            "clusterIP": "None",
            # The ranks connect to each other before any of them can be ready.
            "publishNotReadyAddresses": True,
            "selector": selector,
            "ports": [{"name": "metrics", "port": names.METRICS_PORT, "targetPort": "metrics"}],
        }
    }
    workload = {
        "spec": {
            "serviceName": name,
            "replicas": subject.want.trainer,
            "podManagementPolicy": "Parallel",  # no pod is ready before all of them run
            # Pods of different templates can't train together, so all are replaced at once. A
            # cluster without support for maxUnavailable replaces them one by one.
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "100%"},
            },
            "selector": {"matchLabels": selector},
            "template": _template(subject),
        }
    }
    return [
        child(subject, "Service", "v1", name, service, role=ROLE),
        child(
            subject,
            "StatefulSet",
            "apps/v1",
            name,
            workload,
            role=ROLE,
            on_trial=bool(subject.job.spec.trainer.template),
            labels=queue_labels(subject),
            annotations=job_file.origin(subject, ROLE),
        ),
    ]


def _template(subject: Subject) -> dict[str, Any]:
    spec = subject.job.spec.trainer
    return template(
        subject,
        RolePod(
            role=ROLE,
            module="rljob_trainer",
            image=spec.image or subject.cluster.images[ROLE],
            port=("rendezvous", names.RENDEZVOUS_PORT),
            # Its server answers once the data and the checkpoint have been checked.
            probes={"readinessProbe": http_probe("/healthz", "metrics", period=5, failures=3)},
            grace=_GRACE_SECONDS,
            resources=resources.trainer(subject),
            computes=True,
            index_field="metadata.labels['apps.kubernetes.io/pod-index']",
            volumes=[claim.volume(subject)],
            mounts=[{"name": claim.VOLUME, "mountPath": pod_paths.RUN}],
            annotations={names.ANNOTATION_READS: job_file.reads(subject.job, ROLE)},
            overlay=spec.template,
        ),
    )
