"""What fails for one child is told, and holds up only what needs that child."""

from collections.abc import Callable, Iterator

import pytest

from tests.cluster.client import Client
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fixtures import JobMaker
from tests.cluster.jobs import WORKLOADS, Job
from tests.cluster.operator import Operator, namespaced_rights
from tests.cluster.test_operator_creation import table
from tests.cluster.test_operator_denied import WITHOUT_PODS, is_permitted, names
from tests.faults.fault import Refusal, RefuseKind
from tests.faults.proxy import Proxy
from tests.support.waiting import wait_for

Breaker = Callable[[str, Refusal], tuple[Operator, RefuseKind]]
BUDGETS = "policy/v1/poddisruptionbudgets"
POLICIES = "networking.k8s.io/v1/networkpolicies"


@pytest.fixture
def broken(control_plane: ControlPlane, cluster: Client, rljobs: None) -> Iterator[Breaker]:
    """Starts an operator whose writes to one kind fail."""
    ends: list[Callable[[], None]] = []

    def start(resource: str, refusal: Refusal) -> tuple[Operator, RefuseKind]:
        fault = RefuseKind(resource, refusal)
        rights = namespaced_rights(control_plane, cluster.namespace)
        proxy = Proxy(rights, cluster.namespace, fault)
        namespace = cluster.namespace
        operator = Operator(
            control_plane, proxy.kubeconfig, "--no-leader-election", namespace=namespace
        )
        ends.extend((operator.check, operator.kill, proxy.close))
        operator.start()
        return operator, fault

    yield start
    for end in ends:
        end()


@pytest.fixture
def job(own_job: JobMaker) -> Job:
    made = own_job("math")
    made.trainer.say(phase="running", rollout=3, rollouts=10, engines=2, weight_version=3)
    return made


def is_told_once(job: Job, fault: RefuseKind, objects: int, *words: str) -> None:
    """In the condition, the table and one event for an object, however often it is tried again."""
    job.says("Permitted", "RequestFailed")
    job.until(
        lambda: all(word in job.condition("Permitted")["message"] for word in words), "it is told"
    )
    assert job.condition("Permitted")["status"] == "Unknown"
    before = fault.times
    wait_for(lambda: fault.times >= before + 2, "it is tried again")
    notes = [note for told, note in job.events() if told == "RequestFailed"]
    assert 1 <= len(notes) <= objects, notes
    assert table(job)["REASON"] == "RequestFailed"


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Refusal(500, "InternalError"), "500 InternalError"),
        (Refusal(409, "Conflict"), "409 Conflict"),
        (Refusal(429, "TooManyRequests", retry_after=2), "429 TooManyRequests"),
        (Refusal(504, "Timeout"), "504 Timeout"),
        (Refusal(0), "no reply of the API server"),
    ],
    ids=["error", "conflict", "busy", "timeout", "cut"],
)
def test_a_child_that_no_pod_needs(
    cluster: Client, broken: Breaker, job: Job, refusal: Refusal, words: str
) -> None:
    operator, fault = broken("poddisruptionbudgets", refusal)
    job.create()
    job.reaches("Running")
    is_told_once(job, fault, 2, "PodDisruptionBudget math-trainer is not applied", words)
    assert operator.errors() >= 2
    fault.over = True
    is_permitted(job)
    assert names(job, BUDGETS) == {"math-trainer", "math-rollout"}
    assert "Restored" not in [reason for reason, _ in job.events()]


def test_a_child_that_pods_need(cluster: Client, broken: Breaker, job: Job) -> None:
    _, fault = broken("networkpolicies", Refusal(500, "InternalError"))
    job.create()
    is_told_once(job, fault, 1, "NetworkPolicy math is not applied", "500 InternalError")
    for resource, wanted in WITHOUT_PODS.items():
        if resource != POLICIES:
            assert names(job, resource) == wanted, resource
    assert all(names(job, each) == set() for each in WORKLOADS.values())
    fault.over = True
    job.reaches("Running")
    is_permitted(job)


def test_roles_stop_in_their_order_though_a_stop_fails(
    cluster: Client, broken: Breaker, job: Job
) -> None:
    """Unlike one that is denied: it will succeed soon, and what stops later needs it."""
    _, fault = broken("deployments", Refusal(503, "ServiceUnavailable"))
    fault.over = True
    job.create()
    job.reaches("Running")
    fault.over = False
    job.change(suspend=True)
    job.says("Permitted", "RequestFailed")
    assert job.replicas("trainer") == job.replicas("buffer") == 1
    fault.over = True
    job.until(lambda: not job.pods(), "its pods are gone")
    is_permitted(job)
