"""Pod failures: what is replaced, what waits, what the job reports, when it fails."""

import time

import pytest

from tests.cluster import pod
from tests.cluster.fixtures import JobMaker
from tests.cluster.jobs import PODS, WORKLOADS, Job

ROUTED = {"replicas": 2, "gpusPerReplica": 1, "router": {"enabled": True}}
MISSING = "missing.invalid/image:1"


@pytest.fixture
def job(new_job: JobMaker) -> Job:
    """One that runs."""
    made = new_job("math")
    made.run(rollout=ROUTED, runPolicy={"backoffLimit": 2})
    return made


def others(job: Job, role: str) -> dict[str, set[str]]:
    """The pods of all roles but this one."""
    return {each: job.uids(each) for each in WORKLOADS if each != role}


def test_a_rollout_pod_that_is_lost_is_replaced_and_nothing_else_moves(job: Job) -> None:
    name, before = job.pod("rollout"), others(job, "rollout")
    pod.evict(job.client, name, "The node was low on resource: memory.")
    job.until(
        lambda: len(job.pods("rollout")) == 2 and name not in names(job, "rollout"), "another"
    )
    job.says("RolloutReady", "Ready")
    assert others(job, "rollout") == before
    assert job.status["restarts"] == 0


def names(job: Job, role: str) -> set[str]:
    return {each["metadata"]["name"] for each in job.pods(role)}


def test_a_trainer_that_is_lost_leaves_the_rollouts_in_place(job: Job) -> None:
    before = others(job, "trainer")
    pod.kill_for_memory(job.client, job.pod("trainer"))
    condition = job.says("TrainerReady", "OOMKilled")
    assert "OOMKilled, exit code 137" in condition["message"]
    job.reaches("Starting")
    assert others(job, "trainer") == before
    assert job.status["restarts"] == 1
    pod.back_off(job.client, job.pod("trainer"))
    job.until(lambda: "back-off 10s" in job.condition("TrainerReady")["message"], "its own words")
    assert job.status["restarts"] == 1
    pod.restart(job.client, job.pod("trainer"))
    job.reaches("Running")
    assert others(job, "trainer") == before
    job.tells("Restarted", "OOMKilled")


@pytest.mark.parametrize("role", ["buffer", "router"])
def test_a_buffer_or_router_that_is_lost_comes_back_alone(job: Job, role: str) -> None:
    before, uids = others(job, role), job.uids(role)
    job.client.delete("v1/pods", job.pod(role))
    job.until(lambda: job.uids(role) and not job.uids(role) & uids, "another")
    job.reaches("Running")
    assert others(job, role) == before


def test_failures_without_progress_are_counted_to_the_limit(job: Job) -> None:
    for number in (1, 2):
        fail(job, number)
        assert job.status["failures"]["sinceProgress"] == number
    job.trainer.say(rollout=4)
    job.until(lambda: job.status["failures"]["sinceProgress"] == 0, "progress is seen")
    for _ in range(2):
        fail(job)
    time.sleep(1)
    pod.terminate(job.client, job.pod("trainer"), 1, "loss is nan")
    job.reaches("Failed")
    failed = job.condition("Failed")
    assert failed["reason"] == "BackoffLimitExceeded"
    assert "loss is nan" in failed["message"]
    assert job.status["restarts"] == 5
    job.until(lambda: job.pods() == [], "its pods are freed")
    assert kept(job) == [f"{job.name}-trainer-0"]
    job.tells("PodKept", f"{job.name}-trainer-0 is stopped")
    job.delete()
    job.until(lambda: kept(job) == [], "what was kept goes with the job")


def kept(job: Job) -> list[str]:
    """Pods that were stopped, and stay for their logs."""
    return [each["metadata"]["name"] for each in job.client.list(PODS, job.selector)]


@pytest.mark.parametrize(("policy", "count"), [("All", 0), ("None", 6)])
def test_pods_of_a_job_that_has_ended(new_job: JobMaker, policy: str, count: int) -> None:
    job = new_job(policy.lower())
    job.run(
        rollout=ROUTED,
        trainer={"replicas": 2, "gpusPerReplica": 1},
        runPolicy={"cleanPods": policy},
    )
    job.trainer.say(phase="finished", rollout=10, rollouts=10)
    job.reaches("Succeeded")
    job.until(lambda: job.pods() == [], "its pods are stopped")
    assert len(kept(job)) == count
    job.until(lambda: not any(map(job.replicas, WORKLOADS)), "its workloads have no replicas")


def fail(job: Job, restarts: int | None = None) -> None:
    """The trainer fails, and is started again by the kubelet."""
    before = job.status["restarts"]
    name = job.pod("trainer")
    time.sleep(1)  # the kubelet tells in whole seconds when a container ended
    pod.terminate(job.client, name, 1, "loss is nan")
    job.until(lambda: job.status["restarts"] == before + 1, "it is counted")
    assert restarts is None or job.status["restarts"] == restarts
    pod.restart(job.client, name)
    job.reaches("Running")


@pytest.mark.parametrize("role", ["trainer", "rollout"])
def test_a_mistake_of_the_users_fails_the_job_at_once(job: Job, role: str) -> None:
    pod.terminate(job.client, job.pod(role), 64, "spec.data.prompts[0]: line 3 is no JSON")
    job.reaches("Failed")
    failed = job.condition("Failed")
    assert failed["reason"] == "RoleFailed"
    assert "spec.data.prompts[0]: line 3 is no JSON" in failed["message"]
    job.tells("Failed", "line 3 is no JSON")
    job.until(lambda: job.pods() == [], "its pods are freed")


def test_rules_of_the_failure_policy_come_first(new_job: JobMaker) -> None:
    rules = [
        {"role": "trainer", "exitCodes": [7], "action": "FailJob"},
        {"role": "trainer", "exitCodes": [8], "action": "Ignore"},
    ]
    job = new_job("rules")
    job.run(runPolicy={"backoffLimit": 0, "failure": rules})
    pod.terminate(job.client, job.pod("trainer"), 8)
    job.says("TrainerReady", "Error")
    pod.restart(job.client, job.pod("trainer"))
    job.reaches("Running")
    assert job.status["restarts"] == 0
    pod.terminate(job.client, job.pod("trainer"), 7)
    job.reaches("Failed")


def test_pods_that_cannot_start_say_why_and_a_mended_spec_is_enough(new_job: JobMaker) -> None:
    image, room = new_job("image"), new_job("room")
    image.trainer.say(phase="running")
    room.trainer.say(phase="running")
    image.create(rollout={"replicas": 2, "gpusPerReplica": 1, "image": MISSING})
    room.create(trainer={"template": {"spec": {"nodeSelector": {"gpu": "none"}}}})
    said = image.says("RolloutReady", "ImagePullBackOff")["message"]
    assert "0 of 2 ready" in said
    assert MISSING in said
    image.tells("ImagePullBackOff", MISSING)
    said = room.says("Scheduled", "Unschedulable")["message"]
    assert "didn't match Pod's node affinity/selector" in said
    assert room.says("TrainerReady", "Unschedulable")["message"]
    image.change(rollout={"image": "rollout:2"})
    image.reaches("Running")
    room.change(trainer={"template": {"spec": None}})
    room.reaches("Running")


def test_a_trainer_of_a_bad_change_is_replaced_once_it_is_mended(job: Job) -> None:
    """Kubernetes leaves a StatefulSet's pod that never became ready to people."""
    job.change(trainer={"image": MISSING})
    job.says("TrainerReady", "ImagePullBackOff")
    job.change(trainer={"image": None})
    job.reaches("Running")
    job.tells("PodReplaced")
