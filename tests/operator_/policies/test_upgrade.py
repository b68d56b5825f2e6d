"""An upgrade of the operator changes nothing that pods are made of, until the job does."""

from dataclasses import replace
from datetime import timedelta

import pytest

from rljob_operator.action import Apply, Scale
from rljob_operator.children import resources
from rljob_operator.observed import Observed, Ref
from rljob_operator.reconcile import reconcile
from tests.operator_.simulation import CLUSTER, Simulation, running

MAKERS = [
    Ref("ConfigMap", "job-job"),
    Ref("StatefulSet", "job-buffer"),
    Ref("StatefulSet", "job-trainer"),
    Ref("Deployment", "job-rollout"),
    Ref("Deployment", "job-router"),
]
NEXT = replace(CLUSTER, images={"trainer": "trainer:2", "rollout": "rollout:2"})


class Upgraded(Simulation):
    """A running job after another operator has taken over."""

    def __init__(self, job: Simulation) -> None:
        self.__dict__ |= job.__dict__

    @property
    def observed(self) -> Observed:
        return replace(super().observed, cluster=NEXT)


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Upgraded:
    before = running()
    monkeypatch.setattr(resources, "_BESIDE_GPU", (2000, 8192))
    before.events.clear()
    return Upgraded(before)


def makers(job: Simulation) -> dict[Ref, str]:
    return {ref: job.children[ref].applied for ref in MAKERS}


def test_nothing_changes(job: Upgraded) -> None:
    before, pods = makers(job), dict(job.pods)
    job.settle()
    assert (makers(job), job.pods, job.told()) == (before, pods, [])


def test_a_field_that_restarts_a_role_takes_all_along(job: Upgraded) -> None:
    before = makers(job)
    job.settle().change(schedule={"rollouts": 10, "saveInterval": 7}).settle()
    assert all(before[ref] != now for ref, now in makers(job).items())
    (event,) = [each for each in job.events if each.reason == "PodsRolled"]
    assert "rollout rollout:2, trainer trainer:2" in event.message
    assert "Updated" in job.told()
    before = makers(job)
    assert makers(job.settle()) == before
    assert job.told() == []


def test_replicas_and_rules_take_nothing_along(job: Upgraded) -> None:
    before = makers(job)
    router = {"enabled": True}
    job.settle().change(rollout={"replicas": 5, "router": router}, runPolicy={"backoffLimit": 3})
    job.settle()
    assert makers(job) == before
    assert len(job.role("rollout")) == 5
    job.change(rollout={"replicas": 1, "router": router}).settle()
    assert makers(job) == before
    assert len(job.role("rollout")) == 1


def test_resumed_it_takes_the_new_ones(job: Upgraded) -> None:
    before = makers(job)
    job.change(suspend=True).settle()
    assert makers(job) == before
    job.told()
    job.change(suspend=False).settle()
    assert all(before[ref] != now for ref, now in makers(job).items())
    assert "PodsRolled" in job.told()


@pytest.mark.parametrize("ref", MAKERS, ids=str)
def test_what_has_gone_is_not_made_beside_others_of_an_earlier_operator(
    job: Upgraded, ref: Ref
) -> None:
    del job.children[ref]
    job.settle()
    assert len({job.children[each].made_by for each in MAKERS}) == 1
    assert "PodsRolled" in job.told()


def test_what_began_is_finished(job: Upgraded) -> None:
    """Though the job's own words are the same for all that is left."""
    old = dict(job.children)
    job.change(schedule={"rollouts": 10, "saveInterval": 7}).settle()
    job.children |= {ref: old[ref] for ref in MAKERS[3:]}
    applied = [each.ref for each in job.look().actions if isinstance(each, Apply)]
    assert applied == MAKERS[3:]


def test_another_number_of_replicas_by_others_is_set_back(job: Upgraded) -> None:
    ref = MAKERS[3]
    job.children[ref] = replace(job.children[ref], replicas=7, foreign="kubectl")
    decision = reconcile(job.observed, job.now + timedelta(seconds=1))
    assert [each for each in decision.actions if isinstance(each, (Apply, Scale))] == [
        Scale(ref, job.children[ref].uid, 2)
    ]
