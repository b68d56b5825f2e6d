"""What the operator creates for a new job, and that it then leaves it alone."""

from tests.cluster import jobs
from tests.cluster.client import Client, Manifest
from tests.cluster.crd import RESOURCE
from tests.cluster.fixtures import JobMaker
from tests.cluster.jobs import CLAIMS, Job
from tests.cluster.kubectl import kubectl
from tests.cluster.operator import Operator
from tests.support.waiting import wait_for

CHILDREN = {
    "apps/v1/statefulsets": {"math-trainer", "math-buffer"},
    "apps/v1/deployments": {"math-rollout", "math-router"},
    "v1/services": {"math-trainer", "math-buffer", "math-router"},
    "v1/configmaps": {"math-job"},
    "v1/serviceaccounts": {"math"},
    CLAIMS: {"math-run"},
    "networking.k8s.io/v1/networkpolicies": {"math"},
    "policy/v1/poddisruptionbudgets": {"math-trainer", "math-rollout"},
}
STARTED = ["Accepted", "Started", "BufferReady", "TrainerReady", "RolloutReady"]


def test_every_child_is_there_and_the_job_tells_of_them(
    new_job: JobMaker, shared_operator: Operator
) -> None:
    job = new_job("math")
    job.run(rollout={"replicas": 2, "gpusPerReplica": 1, "router": {"enabled": True}})
    job.says("WeightsInSync", "InSync")
    for child in children(job):
        metadata = child["metadata"]
        labels = metadata["labels"]
        assert labels["rljob.dev/job"] == labels["app.kubernetes.io/instance"] == job.name
        assert labels["app.kubernetes.io/managed-by"] == "rljob-operator"
        if metadata["name"] == f"{job.name}-run":
            assert "ownerReferences" not in metadata  # checkpoints outlive the job
        else:
            (owner,) = metadata["ownerReferences"]
            assert (owner["kind"], owner["name"]) == ("RLJob", job.name)
            assert (owner["uid"], owner["controller"]) == (job.manifest["metadata"]["uid"], True)
    values = {each["type"]: each["status"] for each in job.status["conditions"]}
    assert values == {
        "Accepted": "True",
        "Permitted": "True",
        "Scheduled": "True",
        "BufferReady": "True",
        "TrainerReady": "True",
        "RolloutReady": "True",
        "WeightsInSync": "True",
        "Suspended": "False",
    }
    generation = job.manifest["metadata"]["generation"]
    assert all(each["observedGeneration"] == generation for each in job.status["conditions"])
    told = [reason for reason, _ in job.events()]
    assert told[:2] == STARTED[:2]
    assert sorted(told) == sorted(STARTED)
    columns = table(job)
    assert columns["PHASE"] == "Running"
    assert columns["REASON"] == ""
    assert columns["ROLLOUT"] == "3/10"
    assert columns["REPLICAS"] == "2"
    assert columns["VERSION"] == "3"


def children(job: Job) -> list[Manifest]:
    """All of a job's, which must be those of CHILDREN and a Secret."""
    found = []
    for resource, wanted in CHILDREN.items():
        there = job.client.list(resource, job.selector)
        names = {each["metadata"]["name"].replace(job.name, "math", 1) for each in there}
        assert names == wanted, resource
        found += there
    (secret,) = job.client.list("v1/secrets", job.selector)
    return [*found, secret]


def table(job: Job) -> dict[str, str]:
    """What `kubectl get rlj` prints of a job, by column."""
    place = ("--namespace", job.client.namespace)
    ran = kubectl(job.client.config, "get", "rlj", job.name, *place)
    assert ran.returncode == 0, ran.stderr
    heads, values = ran.stdout.splitlines()
    at = [heads.index(head) for head in heads.split()]
    cuts = zip(at, [*at[1:], None], strict=True)
    return dict(zip(heads.split(), [values[a:b].strip() for a, b in cuts], strict=True))


def test_nothing_is_written_where_nothing_happens(
    cluster: Client, operator: Operator, own_job: JobMaker
) -> None:
    running, resting, refused, touched = map(own_job, ("running", "resting", "refused", "touched"))
    resting.create(suspend=True)
    refused.create(data={"prompts": ["train.jsonl"]})
    touched.run(rollout={"replicas": 1, "gpusPerReplica": 1})
    running.run()
    resting.reaches("Suspended")
    refused.says("Accepted", "Invalid")
    # Others may say what they like where the operator says nothing.
    change = {"metadata": {"labels": {"mine": "yes"}, "annotations": {"mine": "yes"}}}
    for resource, child in {
        "apps/v1/statefulsets": "touched-trainer",
        "apps/v1/deployments": "touched-rollout",
        "v1/services": "touched-trainer",
        "v1/configmaps": "touched-job",
    }.items():
        cluster.patch(resource, child, change)
    for job in (running, touched):
        job.says("WeightsInSync", "InSync")

    def is_still() -> bool:
        before, writes = versions(cluster), operator.writes()
        reads = running.trainer.reads
        wait_for(lambda: running.trainer.reads >= reads + 3, "its trainer is read, every 5 s")
        return (before, writes) == (versions(cluster), operator.writes())

    assert is_still() or is_still()  # what was under way may end in the first time
    labels = cluster.get("apps/v1/deployments", "touched-rollout")["metadata"]["labels"]
    assert labels["mine"] == "yes"
    assert operator.errors() == 0


def versions(cluster: Client) -> dict[str, str]:
    """Resource versions of all jobs, and of all that belongs to them."""
    resources = [RESOURCE, jobs.PODS, "v1/secrets", jobs.EVENTS, *CHILDREN]
    return {
        f"{resource}/{each['metadata']['name']}": each["metadata"]["resourceVersion"]
        for resource in resources
        for each in cluster.list(resource)
    }


def test_a_job_of_another_controller_is_left_alone(
    new_job: JobMaker, shared_operator: Operator
) -> None:
    theirs, ours = new_job("theirs"), new_job("ours")
    before = theirs.create(managedBy="kueue.x-k8s.io/multikueue")
    ours.run()
    theirs.poke()
    ours.poke()
    ours.change(rollout={"replicas": 1})
    ours.until(lambda: len(ours.pods("rollout")) == 1, "later news than of the other is seen")
    after = theirs.manifest
    assert "status" not in after
    assert "finalizers" not in after["metadata"]
    assert after["spec"] == before["spec"]
    assert theirs.events() == []
    theirs.delete()
    wait_for(lambda: not theirs.manifest, "it goes at once")
