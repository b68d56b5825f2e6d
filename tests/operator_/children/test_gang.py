"""What schedules a job as a whole: Volcano, coscheduling, Kueue."""

from typing import Any

import pytest

from rljob.api import RLJob
from rljob_operator.children import Want
from rljob_operator.observed import Ref
from tests.operator_.children.subject import (
    WORKLOADS,
    children_of,
    minimal,
    templates,
    want,
)

GROUP = Ref("PodGroup", "math")
QUEUE = {"kueue.x-k8s.io/queue-name": "research", "kueue.x-k8s.io/priority-class": "high"}


def job(scheduler: str, **sections: Any) -> RLJob:
    """Two pods of the trainer and four rollouts, of which three have to be there."""
    rollout = {"replicas": 4, "autoscaling": {"mode": "Rate", "minReplicas": 3, "maxReplicas": 8}}
    return minimal(
        **{"trainer": {"replicas": 2}, "rollout": rollout, "gang": {"scheduler": scheduler}}
        | sections
    )


def test_volcano_waits_for_the_trainer_and_the_fewest_rollouts() -> None:
    group = children_of(job("volcano"))[GROUP].manifest
    assert group["apiVersion"] == "scheduling.volcano.sh/v1beta1"
    assert group["spec"] == {"minMember": 5, "minTaskMember": {"trainer": 2, "rollout": 3}}
    for role in ("trainer", "rollout"):
        template = templates(job("volcano"))[role]
        assert template["spec"]["schedulerName"] == "volcano"
        annotations = template["metadata"]["annotations"]
        assert annotations["scheduling.k8s.io/group-name"] == "math"
        assert annotations["volcano.sh/task-spec"] == role


def test_coscheduling_waits_for_as_many() -> None:
    group = children_of(job("coscheduling"))[GROUP].manifest
    assert group["apiVersion"] == "scheduling.x-k8s.io/v1alpha1"
    assert group["spec"] == {"minMember": 5}
    for role in ("trainer", "rollout"):
        template = templates(job("coscheduling"))[role]
        assert template["metadata"]["labels"]["scheduling.x-k8s.io/pod-group"] == "math"
        assert "schedulerName" not in template["spec"]


@pytest.mark.parametrize("scheduler", ["volcano", "coscheduling"])
def test_buffer_and_router_are_no_part_of_the_gang(scheduler: str) -> None:
    for role in ("buffer", "router"):
        said = str(templates(job(scheduler))[role])
        assert "group" not in said.lower().replace("runasgroup", "").replace("fsgroup", "")
        assert "volcano" not in said


@pytest.mark.parametrize(
    ("rollout", "replicas", "members"),
    [
        ({"replicas": 4}, 4, 6),  # without autoscaling all of them
        ({"replicas": 4, "autoscaling": {"mode": "Rate", "minReplicas": 3}}, 8, 5),
        # From outside the replicas may be fewer; the group must not wait for more than there are.
        ({"replicas": 1, "autoscaling": {"mode": "External", "minReplicas": 3}}, 1, 3),
    ],
)
def test_surplus_rollouts_stay_outside(
    rollout: dict[str, Any], replicas: int, members: int
) -> None:
    many = Want(trainer=2, rollout=replicas, buffer=1, router=1)
    for scheduler in ("volcano", "coscheduling"):
        made = children_of(job(scheduler, rollout=rollout), replicas=many)
        assert made[GROUP].manifest["spec"]["minMember"] == members


def test_a_colocated_job_is_its_trainer() -> None:
    spec = children_of(job("volcano", colocate=True))[GROUP].manifest["spec"]
    assert spec == {"minMember": 2, "minTaskMember": {"trainer": 2}}


@pytest.mark.parametrize("scheduler", ["none", "kueue"])
def test_others_need_no_group(scheduler: str) -> None:
    assert GROUP not in children_of(job(scheduler))


def test_a_job_at_rest_has_no_group() -> None:
    rest = Want(trainer=0, rollout=0, buffer=0, router=0)
    assert GROUP not in children_of(job("volcano"), replicas=rest)


def queued(scheduler: str) -> RLJob:
    made = job(scheduler)
    labels = {**QUEUE, "kueue.x-k8s.io/prebuilt-workload-name": "one", "team": "rl"}
    metadata = made.metadata.model_copy(update={"labels": labels})
    return made.model_copy(update={"metadata": metadata})


def test_kueue_finds_the_queue_at_trainer_and_rollout() -> None:
    made = children_of(queued("kueue"))
    carried = {
        role: {
            name: value
            for name, value in made[ref].manifest["metadata"]["labels"].items()
            if "kueue" in name or name == "team"
        }
        for role, ref in WORKLOADS.items()
    }
    assert carried == {"trainer": QUEUE, "rollout": QUEUE, "buffer": {}, "router": {}}


@pytest.mark.parametrize("scheduler", ["none", "volcano", "coscheduling"])
def test_the_queue_is_only_kueues(scheduler: str) -> None:
    plain = job(scheduler)
    assert children_of(queued(scheduler)) == children_of(plain, replicas=want(plain))


def test_another_queue_replaces_no_pod() -> None:
    assert templates(queued("kueue")) == templates(job("kueue"))
