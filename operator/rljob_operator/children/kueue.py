"""Kueue queues the job by `suspend` if it supports RLJobs, otherwise trainer and rollout."""

from rljob_operator.children.wanted import Subject

# Kueue queues a StatefulSet or Deployment with these labels, unless its owner is queued itself.
QUEUE_LABELS = ("kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class")


def queue_labels(subject: Subject) -> dict[str, str]:
    """Labels that the trainer and the rollout inherit from the job."""
    if subject.job.spec.gang.scheduler != "kueue":
        return {}
    labels = subject.job.metadata.labels
    return {name: labels[name] for name in QUEUE_LABELS if name in labels}
