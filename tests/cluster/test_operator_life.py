"""A job's suspension, end and deletion happen in an order in which nothing is lost."""

from tests.cluster.client import ApiError
from tests.cluster.fixtures import JobMaker
from tests.cluster.jobs import CLAIMS, Job, eventually
from tests.cluster.operator import Operator
from tests.support.waiting import wait_for


def rests_in_order(job: Job, operator: Operator) -> None:
    """While the pods of a role hang, those that they need stay as they are."""
    job.until(lambda: job.is_going("rollout"), "the rollouts stop")
    look_at(job, operator)
    assert [job.replicas(role) for role in ("trainer", "buffer", "router")] == [1, 1, 1]
    job.let_go("rollout")
    job.until(lambda: job.is_going("trainer"), "the trainer stops")
    look_at(job, operator)
    assert job.pods("rollout") == []
    assert [job.replicas(role) for role in ("buffer", "router")] == [1, 1]
    job.let_go("trainer")
    job.until(lambda: job.pods() == [], "all pods are gone")


def look_at(job: Job, operator: Operator) -> None:
    """Returns when the operator has looked at it once more."""
    before = operator.metric("rljob_operator_reconcile_seconds_count")
    job.poke()
    name = "rljob_operator_reconcile_seconds_count"
    wait_for(lambda: operator.metric(name) > before, "a look")


def test_a_job_completes_and_frees_its_pods(new_job: JobMaker, shared_operator: Operator) -> None:
    job = new_job("math")
    job.run()
    job.trainer.say(phase="finished", rollout=10, reward=0.9)
    job.reaches("Succeeded")
    job.until(lambda: job.pods() == [], "all pods are gone")
    assert job.status["progress"]["display"] == "10/10"
    assert job.condition("Succeeded")["message"] == "trained on 10 rollout batches, reward 0.900"
    assert job.condition("Scheduled")["status"] == "False"
    job.tells("Succeeded")
    # It has ended: nothing that the spec asks for starts it again.
    job.change(rollout={"replicas": 3})
    look_at(job, shared_operator)
    assert job.replicas("rollout") == 0
    assert job.status["phase"] == "Succeeded"


def test_suspended_it_frees_its_pods_and_resumed_it_goes_on(
    new_job: JobMaker, shared_operator: Operator
) -> None:
    job = new_job("math")
    job.run(rollout={"replicas": 2, "gpusPerReplica": 1, "router": {"enabled": True}})
    began, volume = job.status["startTime"], claim(job)
    job.hold("rollout")
    job.hold("trainer")
    job.change(suspend=True)
    rests_in_order(job, shared_operator)
    job.reaches("Suspended")
    assert job.condition("Suspended")["status"] == "True"
    assert "activeSince" not in job.status
    job.change(suspend=False)
    job.reaches("Running")
    assert job.condition("Suspended")["status"] == "False"
    assert job.status["startTime"] == began
    assert claim(job) == volume
    told = [reason for reason, _ in job.events()]
    assert told.index("Suspended") < told.index("Resumed")


def claim(job: Job) -> str:
    """Uid of the claim of its run directory."""
    return str(job.client.get(CLAIMS, f"{job.name}-run")["metadata"]["uid"])


def test_deleted_it_drains_and_its_storage_stays(
    new_job: JobMaker, shared_operator: Operator
) -> None:
    job = new_job("math")
    job.run(rollout={"replicas": 2, "gpusPerReplica": 1, "router": {"enabled": True}})
    volume = claim(job)
    job.hold("rollout")
    job.hold("trainer")
    job.delete()
    rests_in_order(job, shared_operator)
    job.until(lambda: not job.manifest, "the job is gone")
    job.until(lambda: everything(job) == [CLAIMS], "its children are gone")
    assert claim(job) == volume
    assert "Draining" in [reason for reason, _ in job.events()]
    # A job of the same name goes on from there.
    job.trainer.say(phase="running")
    job.create()
    job.reaches("Running")
    assert claim(job) == volume


def everything(job: Job) -> list[str]:
    """The resources of which a job has children, or left some."""
    found = [
        *("apps/v1/statefulsets", "apps/v1/deployments", "v1/services", "v1/configmaps"),
        *("v1/serviceaccounts", "v1/secrets", "networking.k8s.io/v1/networkpolicies"),
        *("policy/v1/poddisruptionbudgets", CLAIMS, "v1/pods"),
    ]
    return [resource for resource in found if job.client.list(resource, job.selector)]


def test_deleted_with_its_storage_where_it_says_so(new_job: JobMaker) -> None:
    job, paused = new_job("brief"), new_job("paused")
    storage = {"run": {"size": "1Gi", "onDelete": "Delete"}}
    paused.create(storage=storage, suspend=True)
    job.run(storage=storage)
    paused.reaches("Suspended")
    for each in (job, paused):
        each.delete()
    for each in (job, paused):
        each.until(lambda each=each: not each.manifest, "the job is gone")
        each.until(lambda each=each: everything(each) == [], "all is gone")


def test_deleted_while_it_comes_to_rest_or_has_not_begun(new_job: JobMaker) -> None:
    pausing, new, ended = new_job("pausing"), new_job("new"), new_job("ended")
    ended.trainer.say(phase="finished", rollout=10, rollouts=10)
    pausing.create()
    ended.create()
    pausing.until(lambda: pausing.pods("trainer"), "its trainer is there")
    pausing.hold("trainer")
    pausing.change(suspend=True)
    pausing.until(lambda: pausing.is_going("trainer"), "the trainer stops")
    ended.reaches("Succeeded")
    new.create()
    for each in (pausing, new, ended):
        each.delete()
    new.until(lambda: not new.manifest, "it goes before it has begun")
    ended.until(lambda: not ended.manifest, "it goes after it has ended")
    assert pausing.manifest, "its trainer still saves"
    pausing.let_go("trainer")
    pausing.until(lambda: not pausing.manifest, "it goes when its pods are gone")
    for each in (pausing, new, ended):
        each.until(lambda each=each: everything(each) in ([], [CLAIMS]), "its children are gone")


def test_deleted_while_the_operator_is_down(operator: Operator, own_job: JobMaker) -> None:
    job, at_once = own_job("math"), own_job("orphan")
    job.run()
    at_once.create(suspend=True)
    at_once.reaches("Suspended")
    operator.kill()
    job.delete()
    at_once.client.request(
        "DELETE",
        at_once.client.path("rljob.dev/v1alpha1/rljobs", at_once.name),
        {"propagationPolicy": "Orphan"},
    )
    assert len(job.pods("rollout")) == 2, "nobody drains it"
    operator.start()
    for each in (job, at_once):
        each.until(lambda each=each: not each.manifest, "the job is gone")
    job.until(lambda: everything(job) == [CLAIMS], "its children are gone")


def test_a_time_to_live_begins_at_the_end(new_job: JobMaker) -> None:
    brief, long = new_job("brief"), new_job("long")
    for job, seconds in ((brief, 0), (long, 3600)):
        job.trainer.say(phase="finished", rollout=10, rollouts=10)
        job.create(runPolicy={"ttlSecondsAfterFinished": seconds})
    brief.until(lambda: not brief.manifest, "it is deleted")
    brief.until(lambda: everything(brief) == [CLAIMS], "its children are gone")
    assert "TimeToLiveOver" in [reason for reason, _ in brief.events()]
    long.reaches("Succeeded")
    long.change(runPolicy={"ttlSecondsAfterFinished": 1})
    long.until(lambda: not long.manifest, "it is deleted after a shorter time")


def test_a_deadline_counts_the_time_in_which_a_job_is_active(new_job: JobMaker) -> None:
    late, paused = new_job("late"), new_job("paused")
    paused.create(suspend=True, runPolicy={"activeDeadlineSeconds": 1})
    late.create(runPolicy={"activeDeadlineSeconds": 3})
    late.reaches("Failed")
    failed = late.condition("Failed")
    assert failed["reason"] == "DeadlineExceeded"
    assert "3 s" in failed["message"]
    late.until(lambda: late.pods() == [], "its pods are freed")
    late.tells("Failed", "DeadlineExceeded")
    assert paused.status["phase"] == "Suspended"


def test_kueue_holds_a_job_and_lets_it_go(new_job: JobMaker) -> None:
    """As Kueue's integration of a kind of its own does it: by spec.suspend, after a webhook."""
    job = new_job("queued")
    job.trainer.say(phase="running")
    job.create(suspend=True, gang={"scheduler": "kueue"})
    label = {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "team"}}}
    job.client.patch("rljob.dev/v1alpha1/rljobs", job.name, label)
    job.reaches("Suspended")
    assert everything(job) == []
    job.change(suspend=False)
    job.reaches("Running")
    for role in ("trainer", "rollout"):
        labels = job.workload(role)["metadata"]["labels"]
        assert labels["kueue.x-k8s.io/queue-name"] == "team"
    job.change(suspend=True)  # preempted
    job.until(lambda: job.pods() == [], "its quota is free")


def test_a_name_that_is_free_again_is_another_job(new_job: JobMaker) -> None:
    job = new_job("math")
    job.trainer.say(phase="running")
    job.create()
    job.until(lambda: job.pods("trainer"), "it has begun")
    before = job.uids()
    job.delete()

    def made_anew() -> bool:
        try:
            job.create()
        except ApiError as error:
            assert error.reason == "AlreadyExists"
            return False
        return True

    eventually(made_anew, "the name is free")
    job.reaches("Running")
    assert not job.uids() & before
    uid = job.manifest["metadata"]["uid"]
    for role in ("trainer", "rollout", "buffer"):
        (owner,) = job.workload(role)["metadata"]["ownerReferences"]
        assert owner["uid"] == uid
