"""A job that generates nothing has a trainer, and nothing of the other roles."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rljob.api import RLJob
from rljob_operator.children import Want
from rljob_operator.observed import Observed, Ref
from rljob_operator.reconcile import reconcile
from tests.operator_.children.subject import CLUSTER, UID, children_of, minimal

SPEC: dict[str, Any] = {
    "algorithm": {"estimator": "sft", "samplesPerPrompt": 1},
    "schedule": {"rollouts": 300, "rolloutBatchSize": 64, "globalBatchSize": 64},
    "rollout": {"router": {"enabled": False}},
}
WANT = Want(trainer=1, rollout=0, buffer=0, router=0)


@pytest.fixture
def job() -> RLJob:
    return minimal(**SPEC)


def test_only_the_trainer_has_children(job: RLJob) -> None:
    made = children_of(job, replicas=WANT)
    roles = {each.role for each in made.values()}
    assert roles == {"", "trainer"}
    assert {ref for ref in made if ref.kind in ("Deployment", "StatefulSet", "Service")} == {
        Ref("StatefulSet", "math-trainer"),
        Ref("Service", "math-trainer"),
    }
    assert Ref("PodDisruptionBudget", "math-rollout") not in made


def test_the_gang_is_the_trainer() -> None:
    job = minimal(**SPEC, gang={"scheduler": "volcano"})
    group = children_of(job, replicas=WANT)[Ref("PodGroup", "math")].manifest
    assert group["spec"] == {"minMember": 1, "minTaskMember": {"trainer": 1}}


def test_the_operator_wants_no_engine(job: RLJob) -> None:
    manifest = job.model_dump(mode="json", by_alias=True)
    manifest["metadata"] |= {"uid": UID, "generation": 1}
    decision = reconcile(Observed(manifest, cluster=CLUSTER), datetime.now(UTC))
    assert decision.status is not None
    assert decision.status["rollout"]["desired"] == 0
    conditions = {each["type"]: each for each in decision.status["conditions"]}
    assert conditions["Accepted"]["status"] == "True", conditions["Accepted"]
    for name in ("BufferReady", "RolloutReady", "WeightsInSync"):
        assert (conditions[name]["status"], conditions[name]["reason"]) == ("False", "AtRest")
