"""The gang: trainer and minimum rollouts, scheduled together or not at all."""

from typing import Any

from rljob.api import RLJob
from rljob.api.estimator import generates
from rljob_operator.children.wanted import Subject, Wanted, child

# Fields as in volcano-sh/apis (scheduling/v1beta1) and kubernetes-sigs/scheduler-plugins
# (scheduling/v1alpha1).
_API_VERSIONS = {
    "volcano": "scheduling.volcano.sh/v1beta1",
    "coscheduling": "scheduling.x-k8s.io/v1alpha1",
}
_VOLCANO = "volcano"
_VOLCANO_GROUP = "scheduling.k8s.io/group-name"
_VOLCANO_TASK = "volcano.sh/task-spec"
_COSCHEDULING_GROUP = "scheduling.x-k8s.io/pod-group"


def pod_groups(subject: Subject) -> list[Wanted]:
    """The PodGroup; none without a gang scheduler, or while no trainer must run."""
    scheduler = subject.job.spec.gang.scheduler
    if scheduler not in _API_VERSIONS or not subject.want.trainer:
        return []
    # Rollouts beyond the minimum are scheduled individually.
    least = {"trainer": subject.want.trainer}
    if subject.want.rollout:
        least["rollout"] = min(subject.want.rollout, least_rollouts(subject.job))
    spec: dict[str, Any] = {"minMember": sum(least.values())}
    if scheduler == _VOLCANO:
        spec["minTaskMember"] = least  # many rollouts can't replace a trainer
    body = {"spec": spec}
    return [child(subject, "PodGroup", _API_VERSIONS[scheduler], subject.name, body)]


def least_rollouts(job: RLJob) -> int:
    """The minimum number of rollouts that a job starts with."""
    rollout = job.spec.rollout
    if job.spec.colocate or not generates(job.spec.algorithm):
        return 0
    autoscaled = rollout.autoscaling.mode != "Off"
    return rollout.autoscaling.min_replicas if autoscaled else rollout.replicas


def join(made: dict[str, Any], scheduler: str, job: str, role: str) -> None:
    """Add a pod template to the group; it is changed in place."""
    match scheduler:
        case "volcano":
            made["spec"]["schedulerName"] = _VOLCANO
            made["metadata"]["annotations"] |= {_VOLCANO_GROUP: job, _VOLCANO_TASK: role}
        case "coscheduling":
            made["metadata"]["labels"][_COSCHEDULING_GROUP] = job
