"""The embedded buffer: a StatefulSet (for its volume) and a Service."""

from typing import Any

from rljob.api import pod_paths
from rljob.api.estimator import generates
from rljob_operator import names
from rljob_operator.children import job_file, resources
from rljob_operator.children.pod import RolePod, template
from rljob_operator.children.wanted import Subject, Wanted, child

ROLE = "buffer"
_GRACE_SECONDS = 30
_VOLUME = "buffer"


def buffer(subject: Subject) -> list[Wanted]:
    """Service and StatefulSet; none if the job uses the user's own server, or needs no buffer."""
    spec = subject.job.spec.buffer
    if spec.external is not None or not generates(subject.job.spec.algorithm):
        return []
    name = f"{subject.name}-{ROLE}"
    selector = names.selector(subject.name, ROLE)
    service = {
        "spec": {
            "selector": selector,
            "ports": [{"name": "redis", "port": names.BUFFER_PORT, "targetPort": "redis"}],
        }
    }
    workload: dict[str, Any] = {
        "serviceName": name,
        "replicas": subject.want.buffer,
        "selector": {"matchLabels": selector},
        "template": _template(subject),
    }
    if spec.persistence is not None:
        workload["volumeClaimTemplates"] = [
            {
                "metadata": {"name": _VOLUME},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": spec.persistence.size}},
                },
            }
        ]
        # The ledger is the source of truth: nothing in the buffer must outlive the job.
        workload["persistentVolumeClaimRetentionPolicy"] = {
            "whenDeleted": "Delete",
            "whenScaled": "Retain",
        }
    return [
        child(subject, "Service", "v1", name, service, role=ROLE),
        child(
            subject,
            "StatefulSet",
            "apps/v1",
            name,
            {"spec": workload},
            role=ROLE,
            on_trial=bool(spec.template),
            annotations=job_file.origin(subject, ROLE),
        ),
    ]


def _template(subject: Subject) -> dict[str, Any]:
    persistent = subject.job.spec.buffer.persistence is not None
    return template(
        subject,
        RolePod(
            role=ROLE,
            module="rljob.buffer",
            # The trainer's image has the server.
            image=subject.job.spec.trainer.image or subject.cluster.images["trainer"],
            port=("redis", names.BUFFER_PORT),
            probes={
                "readinessProbe": {
                    "tcpSocket": {"port": "redis"},
                    "periodSeconds": 5,
                    "failureThreshold": 3,
                }
            },
            grace=_GRACE_SECONDS,
            resources=resources.buffer(subject),
            volumes=[] if persistent else [{"name": _VOLUME, "emptyDir": {}}],
            mounts=[{"name": _VOLUME, "mountPath": pod_paths.RUN}],
            overlay=subject.job.spec.buffer.template,
        ),
    )
