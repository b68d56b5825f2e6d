"""Pods that keep a StatefulSet from its newest template.

A test on a real control plane shows that Kubernetes really leaves them as they are.
"""

from dataclasses import replace

from rljob_operator.action import Delete
from rljob_operator.observed import Ref
from tests.operator_.simulation import Simulation, running

TRAINER = Ref("StatefulSet", "job-trainer")


def broken() -> Simulation:
    """A trainer whose new image is not there; its pod was replaced already."""
    job = running()
    job.change(trainer={"image": "bad"}).settle()
    pod = job.pods["job-trainer-0"]
    assert pod.revision == job.children[TRAINER].revision
    job.pods["job-trainer-0"] = replace(
        pod,
        ready=False,
        phase="Pending",
        waiting="ImagePullBackOff",
        trouble='ImagePullBackOff: Back-off pulling image "bad"',
    )
    return job.settle()


def test_a_mended_template_reaches_the_broken_pod() -> None:
    job = broken()
    uid = job.pods["job-trainer-0"].uid
    assert job.condition("TrainerReady")["reason"] == "ImagePullBackOff"
    job.change(trainer={"image": "good"})
    job.told()
    job.look()  # applies the template
    decision = job.look()
    assert decision.actions == (Delete(Ref("Pod", "job-trainer-0"), uid),)
    job.settle()
    assert job.pods["job-trainer-0"].revision == job.children[TRAINER].revision
    assert job.condition("TrainerReady")["reason"] == "Ready"
    assert "PodReplaced" in job.told()


def test_a_broken_pod_of_the_newest_template_is_left_alone() -> None:
    assert broken().look().actions == ()


def test_a_controller_that_has_not_seen_the_template_yet_is_waited_for() -> None:
    job = broken().change(trainer={"image": "good"})
    job.look()
    job.children[TRAINER] = replace(job.children[TRAINER], current=False)
    assert job.look().actions == ()


def test_a_pod_that_is_ready_is_the_controllers_matter() -> None:
    job = running()
    job.lazy = True
    job.change(trainer={"image": "other"})
    job.look()
    assert job.look().actions == ()


def test_a_pod_is_deleted_once() -> None:
    job = broken().change(trainer={"image": "good"})
    job.look()
    job.lazy = True
    pod = job.pods["job-trainer-0"]
    job.look()
    job.pods["job-trainer-0"] = replace(pod, deleting=True)
    assert job.look().actions == ()
