"""Every observation leads to a decision, always the same one, and finally to a stable state."""

import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rljob_operator.action import Apply, Delete, Scale
from rljob_operator.observed import Child, Denial, Observed, Pod, Ref, Report, Termination
from rljob_operator.reconcile import reconcile
from tests.operator_.simulation import CLUSTER, RUNNING, START, Simulation, a_job, check, running

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**31, -1, 2**70, 1e300, -0.0, 0.5, 10**400])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
TIMES = st.none() | st.datetimes(timezones=st.just(START.tzinfo)) | st.just(START)
DONE = running(code={"configMapRef": "hooks"})
STATUSES = [
    {},
    DONE.status,
    copy.deepcopy(DONE).change(suspend=True).settle().status,
    copy.deepcopy(DONE).change(schedule={"rollouts": -1}).settle().status,
]
SPECS: list[Any] = [
    {},
    {"suspend": True},
    {"schedule": {"rollouts": -1}},
    {"model": {"checkpoint": "relative"}},
    {"algorithm": {"estimator": "ppo"}},
    {"managedBy": "example.com/mine"},
    {"rollout": {"replicas": 3, "autoscaling": {"mode": "Rate", "maxReplicas": 5}}},
    {"rollout": {"replicas": 1}},
    {"buffer": {"external": {"url": "redis://there"}}},
    {"gang": {"scheduler": "volcano"}},
    {"gang": {"scheduler": "coscheduling"}},
    {"network": {"rdma": {"resource": "rdma/hca"}}},
    {"storage": {"run": {"claimName": "mine"}}},
    {
        "runPolicy": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": 5,
            "ttlSecondsAfterFinished": 0,
            "cleanPods": "None",
            "failure": [{"role": "rollout", "exitCodes": [1], "action": "Ignore"}],
        }
    },
]
FIELDS = [*RUNNING, "eta_seconds", "epoch", "wait_share", "held_share", "engine_load"]
REPORTS = st.none() | st.builds(
    lambda at, known, body: Report(at, {**(RUNNING if known else {}), **body}),
    st.just(START),
    st.booleans(),
    st.dictionaries(st.sampled_from(FIELDS), JSON | st.sampled_from(["finished", "running", 10])),
)
POD = st.builds(
    Pod,
    name=st.sampled_from(["job-trainer-0", "job-rollout-a", "job-rollout-b", "job-buffer-0", "x"]),
    uid=st.sampled_from(["1", "2"]),
    role=st.sampled_from(["trainer", "rollout", "buffer", "router", "", "driver"]),
    phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown", "?"]),
    ready=st.booleans(),
    deleting=st.booleans(),
    ip=st.sampled_from(["", "10.0.0.1"]),
    restarts=st.integers(0, 3),
    termination=st.none()
    | st.builds(
        Termination,
        exit_code=st.sampled_from([0, 1, 64, 137, -5]),
        reason=st.sampled_from(["", "Error", "OOMKilled"]),
        message=st.sampled_from(["", "words"]),
        at=TIMES,
    ),
    waiting=st.sampled_from(["", "CrashLoopBackOff", "ErrImagePull", "CreateContainerConfigError"]),
    trouble=st.sampled_from(["", "0/4 nodes are available"]),
    reason=st.sampled_from(["", "Evicted"]),
    deletion_cost=st.none() | st.integers(-2, 2),
    created=TIMES,
    gone_by=TIMES,
    revision=st.sampled_from(["", "old"]),
)


DENIALS = st.builds(
    Denial,
    verb=st.sampled_from(["apply", "create", "scale", "delete", "change"]),
    ref=st.sampled_from(
        [*DONE.children, Ref("Pod", "job-rollout-a"), Ref("RLJob", "job"), Ref("Secret", "keys")]
    ),
    message=st.sampled_from(["exceeded quota: a", "failed calling webhook", "no right", ""]),
)


@st.composite
def children(draw: st.DrawFn) -> dict[Ref, Child]:
    """Some of those of a job under way, as they are or not quite; and one that is not wanted."""
    found = {}
    surplus = replace(DONE.children[Ref("Service", "job-router")], ref=Ref("Service", "job-old"))
    for known in [*DONE.children.values(), surplus]:
        child = known
        fate = draw(st.sampled_from(["there"] * 5 + ["gone", "other"]))
        if fate == "other":
            child = replace(
                child,
                owned=draw(st.booleans()),
                owner=draw(st.sampled_from(["", "RLJob job", "Release x"])),
                deleting=draw(st.booleans()),
                applied=draw(st.sampled_from(["", child.applied])),
                foreign=draw(st.sampled_from([None, "kubectl-edit"])),
                replicas=draw(st.sampled_from([0, 1, 5])),
                current=draw(st.booleans()),
            )
        if fate != "gone":
            found[child.ref] = child
    return found


@st.composite
def jobs(draw: st.DrawFn) -> dict[str, Any]:
    """Manifests, with a status that may be of another job, or none of this world."""
    manifest = a_job(**draw(st.sampled_from(SPECS)))
    if draw(st.integers(0, 9)) == 0:
        manifest["spec"] = draw(JSON)
    status: Any = copy.deepcopy(draw(st.sampled_from(STATUSES)))
    for field in draw(st.lists(st.sampled_from([*DONE.status, "other"]), max_size=2)):
        status[field] = draw(JSON)
    manifest["status"] = draw(JSON) if draw(st.integers(0, 9)) == 0 else status
    metadata = manifest["metadata"]
    metadata["finalizers"] = draw(st.sampled_from([[], ["rljob.dev/drain"], ["x"], None]))
    if draw(st.integers(0, 3)) == 0:
        metadata["deletionTimestamp"] = START.isoformat()
    return manifest


@st.composite
def sights(draw: st.DrawFn) -> Observed:
    """Anything that may be seen of a job."""
    pods = draw(st.lists(POD, max_size=5, unique_by=lambda pod: pod.name))
    return Observed(
        manifest=draw(jobs()),
        children=draw(children()),
        pods=tuple(sorted(pods, key=lambda pod: pod.name)),
        report=draw(REPORTS),
        cluster=CLUSTER,
        denials=tuple(sorted(draw(st.sets(DENIALS, max_size=3)))),
    )


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sights(), TIMES.filter(bool))
def test_there_is_a_decision(observed: Observed, now: Any) -> None:
    before = copy.deepcopy(observed)
    decision = reconcile(observed, now)
    assert observed == before
    assert decision == reconcile(observed, now)
    check(decision)
    if observed.manifest["metadata"].get("deletionTimestamp") and not observed.denials:
        assert decision.status is None
    for action in decision.actions:
        match action:
            case Apply(ref, _):
                assert ref not in observed.children or observed.children[ref].owned
            case Delete(Ref("Pod", name), uid):
                assert any((pod.name, pod.uid) == (name, uid) for pod in observed.pods)
            case Scale(ref, uid, _) | Delete(ref, uid):
                assert observed.children[ref].owned
                assert observed.children[ref].uid == uid


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sights())
def test_it_leads_to_rest(observed: Observed) -> None:
    """Done what was decided, and looked at again, nothing is left to do before long."""
    job = Simulation(observed.manifest)
    job.children = dict(observed.children)
    job.pods = {pod.name: pod for pod in observed.pods}
    job.report = dict(observed.report.body) if observed.report else None
    job.settle(most=15)
    if job.manifest is None:
        return
    before = copy.deepcopy(job.manifest)
    requeue = job.look().requeue
    assert requeue is None or requeue > timedelta(0)
    if requeue is None:
        decision = job.wait(3600).look()
        assert (decision.actions, decision.events) == ((), ())
        assert job.manifest == before
