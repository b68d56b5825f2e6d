"""Names, labels and annotations that the operator sets and reads."""

MANAGER = "rljob-operator"  # field manager of server-side apply
FINALIZER = "rljob.dev/drain"

LABEL_JOB = "rljob.dev/job"
LABEL_ROLE = "rljob.dev/role"
LABEL_REVISION = "controller-revision-hash"  # of a StatefulSet's template, on its pods
ANNOTATION_APPLIED = "rljob.dev/applied"  # hash of the manifest that was applied last
ANNOTATION_READS = "rljob.dev/reads"  # hash of what a role reads of the job, in its pod template
ANNOTATION_INPUTS = "rljob.dev/inputs"  # hash of what the job itself says about a role's pods
ANNOTATION_MADE_BY = "rljob.dev/made-by"  # version of the operator, and hash of its defaults
ANNOTATION_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"

METRICS_PORT = 9400  # /metrics, /status, /healthz and /readyz of every role
RENDEZVOUS_PORT = 29400
ROUTER_PORT = 30000
BUFFER_PORT = 6379


def labels(job: str, role: str | None = None) -> dict[str, str]:
    """Labels of a child, and of the pods of a role."""
    found = {
        "app.kubernetes.io/name": "rljob",
        "app.kubernetes.io/instance": job,
        "app.kubernetes.io/managed-by": MANAGER,
        LABEL_JOB: job,
    }
    if role is not None:
        found |= {"app.kubernetes.io/component": role, LABEL_ROLE: role}
    return found


def selector(job: str, role: str) -> dict[str, str]:
    """The labels by which a role's pods are found; they never change."""
    return {LABEL_JOB: job, LABEL_ROLE: role}
