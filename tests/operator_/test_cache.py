"""The cache after events of the API server that are late, repeated or out of order."""

from typing import Any

import msgspec
import pytest

from rljob_operator import names
from rljob_operator.cache import Cache
from rljob_operator.kind import POD, Kind, kind_of
from rljob_operator.objects import Partial, PodObject, Workload
from rljob_operator.observed import Cluster, Observed, Ref, Refusal
from rljob_operator.watch import item_type

SERVICE = kind_of("v1", "Service")
CLAIM = kind_of("v1", "PersistentVolumeClaim")
TRAINER = kind_of("apps/v1", "StatefulSet")
KEY = "team/math"


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def cache(told: list[str]) -> Cache:
    return Cache(told.append)


def job(version: int = 1, uid: str = "1", **sections: Any) -> dict[str, Any]:
    metadata = {"name": "math", "namespace": "team", "uid": uid, "resourceVersion": str(version)}
    return {"metadata": {**metadata, "managedFields": [{"manager": "kubectl"}]}, **sections}


def item(kind: Kind, name: str, version: int, uid: str = "", **more: Any) -> Any:
    """A child or a pod of the job of uid 1, as it is read."""
    spec, status = more.pop("spec", {}), more.pop("status", {})
    metadata = {
        "name": name,
        "namespace": "team",
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
        "labels": {names.LABEL_JOB: "math", names.LABEL_ROLE: "trainer"},
        "ownerReferences": [{"uid": "1", "kind": "RLJob", "name": "math", "controller": True}],
        **more,
    }
    body = {"metadata": metadata, "spec": spec, "status": status}
    return msgspec.convert(body, type=item_type(kind))


def wrote(manager: str, fields: str, at: int = 1, **more: str) -> dict[str, Any]:
    """An entry of managedFields."""
    time = f"2026-01-01T00:00:{at:02}Z"
    return {"manager": manager, "time": time, "fieldsV1": msgspec.Raw(fields.encode()), **more}


def seen(cache: Cache) -> Observed:
    found = cache.observed(KEY, None, Cluster())
    assert found is not None
    return found


def test_only_what_is_newer_is_news(cache: Cache, told: list[str]) -> None:
    cache.put_job(job(5, status={"phase": "Running"}))
    cache.put_job(job(5))
    cache.put_job(job(4))
    assert told == [KEY]
    assert seen(cache).manifest["status"] == {"phase": "Running"}
    assert "managedFields" not in seen(cache).manifest["metadata"]
    cache.put(TRAINER, item(TRAINER, "math-trainer", 7, spec={"replicas": 2}))
    cache.put(TRAINER, item(TRAINER, "math-trainer", 6, spec={"replicas": 1}))
    assert seen(cache).children[Ref("StatefulSet", "math-trainer")].replicas == 2


def test_what_says_nothing_new_is_no_news(cache: Cache, told: list[str]) -> None:
    cache.put_job(job())
    cache.put(SERVICE, item(SERVICE, "math-trainer", 2))
    cache.put(POD, item(POD, "math-trainer-0", 3))
    told.clear()
    cache.put(SERVICE, item(SERVICE, "math-trainer", 4))
    cache.put(POD, item(POD, "math-trainer-0", 5))
    assert told == []
    cache.put(POD, item(POD, "math-trainer-0", 6, status={"phase": "Running"}))
    assert told == [KEY]


def test_children_wait_for_their_job(cache: Cache) -> None:
    """Lists and watches of the kinds come in any order."""
    cache.put(SERVICE, item(SERVICE, "math-trainer", 2))
    cache.put(POD, item(POD, "math-trainer-0", 3))
    assert cache.observed(KEY, None, Cluster()) is None
    cache.put_job(job())
    assert seen(cache).children[Ref("Service", "math-trainer")].owned
    assert [pod.name for pod in seen(cache).pods] == ["math-trainer-0"]


def test_what_belongs_to_an_earlier_job_of_the_name_is_not_owned(cache: Cache) -> None:
    cache.put_job(job(1, uid="1"))
    cache.put(SERVICE, item(SERVICE, "math-trainer", 2))
    cache.drop_job(KEY, "1")
    cache.put_job(job(3, uid="2"))
    assert not seen(cache).children[Ref("Service", "math-trainer")].owned
    cache.drop_job(KEY, "1")  # a late word of the earlier one
    assert cache.observed(KEY, None, Cluster()) is not None


def test_a_late_word_of_the_end_of_another_object_takes_nothing_away(cache: Cache) -> None:
    cache.put_job(job())
    new, old = item(SERVICE, "math-trainer", 5, "new"), item(SERVICE, "math-trainer", 4, "old")
    cache.put(SERVICE, new)
    cache.drop(SERVICE, old)
    assert Ref("Service", "math-trainer") in seen(cache).children
    cache.drop(SERVICE, new)
    assert seen(cache).children == {}


def test_a_list_tells_what_has_gone_but_not_of_what_came_after_it(cache: Cache) -> None:
    cache.put_job(job())
    for name, version in (("math-trainer", 2), ("math-buffer", 3), ("math-router", 9)):
        cache.put(SERVICE, item(SERVICE, name, version))
    cache.keep(SERVICE, None, {"uid-math-buffer"}, 8)
    left = {ref.name for ref in seen(cache).children}
    assert left == {"math-buffer", "math-router"}
    cache.keep(SERVICE, "other", set(), 99)
    assert {ref.name for ref in seen(cache).children} == left
    cache.keep_jobs(None, set(), 0)
    assert cache.observed(KEY, None, Cluster()) is not None
    cache.keep_jobs(None, set(), 1)
    assert cache.observed(KEY, None, Cluster()) is None


def test_a_child_whose_label_is_changed_stays_with_its_job(cache: Cache) -> None:
    cache.put_job(job())
    cache.put(SERVICE, item(SERVICE, "math-trainer", 2, labels={names.LABEL_JOB: "other"}))
    assert Ref("Service", "math-trainer") in seen(cache).children


def test_a_claim_has_no_owner(cache: Cache) -> None:
    cache.put_job(job())
    cache.put(CLAIM, item(CLAIM, "math-run", 2, ownerReferences=[]))
    claim = seen(cache).children[Ref("PersistentVolumeClaim", "math-run")]
    assert (claim.owned, claim.owner) == (False, "")


OWN, LESS = '{"f:spec":{"f:ports":{}}}', '{"f:spec":{}}'


def foreign(cache: Cache) -> str | None:
    return seen(cache).children[Ref("Service", "math-trainer")].foreign


def service(version: int, *managed: dict[str, Any]) -> Any:
    return item(SERVICE, "math-trainer", version, managedFields=list(managed))


def test_who_takes_over_a_field_of_the_operators_is_named(cache: Cache) -> None:
    cache.put_job(job())
    cache.applied(SERVICE, service(2, wrote(names.MANAGER, OWN)))
    assert foreign(cache) is None
    cache.put(SERVICE, service(3, wrote(names.MANAGER, OWN), wrote("helm", LESS, 2)))
    assert foreign(cache) is None, "something besides"
    cache.put(SERVICE, service(4, wrote(names.MANAGER, LESS), wrote("kubectl-edit", OWN, 3)))
    assert foreign(cache) == "kubectl-edit"
    cache.applied(SERVICE, service(5, wrote(names.MANAGER, OWN, 4), wrote("kubectl-edit", LESS, 3)))
    assert foreign(cache) is None


def test_one_who_is_faster_than_the_reply_is_seen(cache: Cache) -> None:
    cache.put_job(job())
    cache.put(SERVICE, service(3, wrote(names.MANAGER, LESS), wrote("kubectl-edit", OWN, 2)))
    cache.applied(SERVICE, service(2, wrote(names.MANAGER, OWN)))
    assert foreign(cache) == "kubectl-edit"


@pytest.mark.parametrize(
    ("manager", "subresource", "at", "expected"),
    [
        ("kubectl-edit", "", 5, "kubectl-edit"),
        ("kubectl-edit", "", 4, "kubectl-edit"),  # in the same second
        ("kubectl-edit", "", 3, None),  # the operator has put it right since
        ("kubectl", "scale", 5, "kubectl"),
        ("kube-controller-manager", "status", 5, None),
        ("kubelet", "status", 5, None),
    ],
)
def test_an_operator_that_begins_sees_who_wrote_after_the_last(
    cache: Cache, manager: str, subresource: str, at: int, expected: str | None
) -> None:
    cache.put_job(job())
    other = wrote(manager, LESS, at, subresource=subresource)
    cache.put(SERVICE, service(2, wrote(names.MANAGER, OWN, 4), other))
    assert foreign(cache) == expected


def test_a_name_that_is_taken_is_told_once_until_the_child_is_made(
    cache: Cache, told: list[str]
) -> None:
    cache.put_job(job())
    told.clear()
    ref = Ref("Service", "math-trainer")
    assert cache.take(KEY, ref)
    assert not cache.take(KEY, ref)
    assert told == [KEY]
    assert seen(cache).taken == {ref}
    cache.applied(SERVICE, service(2, wrote(names.MANAGER, OWN)))
    assert seen(cache).taken == frozenset()


def test_what_was_refused_is_told_once_until_it_is_taken(cache: Cache, told: list[str]) -> None:
    cache.put_job(job())
    told.clear()
    ref, refusal = Ref("Service", "math-trainer"), Refusal("hash", "spec: Invalid value")
    assert cache.refuse(KEY, ref, refusal)
    assert not cache.refuse(KEY, ref, refusal)
    assert told == [KEY]
    # A child that stands as it was before says nothing of the one that was refused.
    cache.put(SERVICE, service(2, wrote(names.MANAGER, OWN)))
    assert seen(cache).refused == {ref: refusal}
    cache.applied(SERVICE, service(3, wrote(names.MANAGER, OWN)))
    assert seen(cache).refused == {}


def test_what_somebody_wrote_into_the_status_costs_nothing(cache: Cache) -> None:
    cache.put_job(job(status={"phase": 7, "progress": "much"}))
    (_, kept), *_ = cache.jobs()
    assert kept.summary.phase == "Pending"


@pytest.mark.parametrize(("kind", "item_is"), [(POD, PodObject), (TRAINER, Workload)])
def test_what_is_read_of_each_kind(kind: Kind, item_is: type) -> None:
    assert item_type(kind) is item_is
    assert item_type(SERVICE) is Partial
