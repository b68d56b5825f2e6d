"""Kueue: it holds a job by `suspend` where it knows RLJobs, and else the pods of its parts."""

from rljob_operator.children.wanted import Subject

# Kueue takes a StatefulSet or a Deployment that has them into a queue; not one whose owner is in a
# queue itself.
QUEUE_LABELS = ("kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class")


def queue_labels(subject: Subject) -> dict[str, str]:
    """Labels of the job that its trainer and its rollout carry, too."""
    if subject.job.spec.gang.scheduler != "kueue":
        return {}
    labels = subject.job.metadata.labels
    return {name: labels[name] for name in QUEUE_LABELS if name in labels}
