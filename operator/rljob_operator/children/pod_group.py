"""The gang: trainer and the fewest rollouts, scheduled together or not at all."""

from rljob.api import RLJob
from rljob_operator.children.wanted import Subject, Wanted, child

# Fields as in volcano-sh/apis (scheduling/v1beta1) and kubernetes-sigs/scheduler-plugins
# (scheduling/v1alpha1).
_API_VERSIONS = {
    "volcano": "scheduling.volcano.sh/v1beta1",
    "coscheduling": "scheduling.x-k8s.io/v1alpha1",
}
_MEMBER: dict[str, tuple[str, str]] = {
    "volcano": ("annotations", "scheduling.k8s.io/group-name"),
    "coscheduling": ("labels", "scheduling.x-k8s.io/pod-group"),
}


def pod_groups(subject: Subject) -> list[Wanted]:
    """The PodGroup; none without a gang scheduler, or while the job rests."""
    scheduler = subject.job.spec.gang.scheduler
    if scheduler not in _API_VERSIONS or not subject.want.trainer:
        return []
    # Surplus rollouts come and go without it.
    members = subject.job.spec.trainer.replicas + least_rollouts(subject.job)
    body = {"spec": {"minMember": members}}
    return [child(subject, "PodGroup", _API_VERSIONS[scheduler], subject.name, body)]


def least_rollouts(job: RLJob) -> int:
    """The fewest rollouts with which a job begins."""
    rollout = job.spec.rollout
    if job.spec.colocate:
        return 0
    autoscaled = rollout.autoscaling.mode != "Off"
    return rollout.autoscaling.min_replicas if autoscaled else rollout.replicas


def membership(scheduler: str, job: str) -> dict[str, dict[str, str]]:
    """What puts a pod into the group: `labels` and `annotations` of its template."""
    found: dict[str, dict[str, str]] = {"labels": {}, "annotations": {}}
    if scheduler in _MEMBER:
        place, key = _MEMBER[scheduler]
        found[place][key] = job
    return found
