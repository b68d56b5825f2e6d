"""The rollout: a Deployment of workers with their engines."""

from pathlib import PurePath
from typing import Any, Final

from rljob.api import pod_paths
from rljob.api.estimator import generates
from rljob_operator import names
from rljob_operator.children import claim, job_file, resources
from rljob_operator.children.kueue import queue_labels
from rljob_operator.children.pod import RolePod, http_probe, template
from rljob_operator.children.wanted import Subject, Wanted, child

ROLE: Final = "rollout"
_GRACE_SECONDS = 120  # to give back unfinished groups
_PROGRESS_SECONDS = 3600  # large models load slowly


def rollout(subject: Subject) -> list[Wanted]:
    """The Deployment; none if the engines run in the trainer's pods, or nothing is generated."""
    if not has_pods(subject):
        return []
    body = {
        "spec": {
            "replicas": subject.want.rollout,
            "selector": {"matchLabels": names.selector(subject.name, ROLE)},
            # A new pod needs the GPUs of an old one; meanwhile the other pods keep generating.
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "25%"},
            },
            "progressDeadlineSeconds": _PROGRESS_SECONDS,
            "template": _template(subject),
        }
    }
    name = f"{subject.name}-{ROLE}"
    labels = queue_labels(subject)
    return [
        child(
            subject,
            "Deployment",
            "apps/v1",
            name,
            body,
            role=ROLE,
            on_trial=bool(subject.job.spec.rollout.template),
            labels=labels,
            annotations=job_file.origin(subject, ROLE),
        )
    ]


def has_pods(subject: Subject) -> bool:
    """Whether the job has engines in pods of their own."""
    return generates(subject.job.spec.algorithm) and not subject.job.spec.colocate


def _template(subject: Subject) -> dict[str, Any]:
    spec = subject.job.spec.rollout
    # Its own run directory; from the run's claim it reads only weights.
    volumes: list[dict[str, Any]] = [{"name": "run", "emptyDir": {}}]
    mounts: list[dict[str, Any]] = [{"name": "run", "mountPath": pod_paths.RUN}]
    if claim.reads_weights(subject):
        volumes.append(claim.volume(subject) | {"name": "weights"})
        mounts.append(
            {
                "name": "weights",
                "mountPath": pod_paths.WEIGHTS,
                "subPath": PurePath(pod_paths.WEIGHTS).name,
                "readOnly": True,
            }
        )
    return template(
        subject,
        RolePod(
            role=ROLE,
            module="rljob_rollout",
            image=spec.image or subject.cluster.images[ROLE],
            port=None,
            # Ready: its engine holds usable weights. Alive: it answers at all. The startup probe
            # leaves time for rewards that load models.
            probes={
                "readinessProbe": http_probe("/readyz", "metrics", period=5, failures=3),
                "startupProbe": http_probe("/healthz", "metrics", period=5, failures=180),
                "livenessProbe": http_probe("/healthz", "metrics", period=10, failures=12),
            },
            grace=_GRACE_SECONDS,
            resources=resources.rollout(subject),
            computes=True,
            volumes=volumes,
            mounts=mounts,
            annotations={names.ANNOTATION_READS: job_file.reads(subject.job, ROLE)},
            overlay=spec.template,
        ),
    )
