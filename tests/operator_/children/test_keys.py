"""The job's passwords and keys."""

import hashlib
import hmac

from rljob_operator.children import children
from rljob_operator.children.keys import derive, secret_name
from rljob_operator.children.wanted import Subject, Want
from rljob_operator.observed import Cluster
from tests.operator_.children.subject import CLUSTER, UID, manifest, minimal

JOB = minimal()
NAMES = ("buffer-password", "engine-api-key", "engine-admin-key")


def subject(uid: str = UID) -> Subject:
    return Subject(JOB, uid, Want(1, 1, 1, 1), CLUSTER)


def test_they_are_derived_from_the_operators_key_and_the_job() -> None:
    secret = manifest(JOB, "Secret", secret_name(subject()))
    assert secret["stringData"] == {
        name: hmac.new(b"key", f"{UID}/{name}".encode(), hashlib.sha256).hexdigest()
        for name in NAMES
    }


def test_it_is_created_and_never_changed() -> None:
    """The right to patch a Secret is the right to read it."""
    made = children(JOB, UID, subject().want, CLUSTER)
    (wanted,) = [each for each in made if each.ref.kind == "Secret"]
    assert wanted.once
    assert wanted.manifest["immutable"] is True


def test_no_two_are_the_same() -> None:
    made = {
        derive(key, uid, name) for key in (b"key", b"other") for uid in ("a", "b") for name in NAMES
    }
    assert len(made) == 12
    assert {len(each) for each in made} == {64}


def test_another_operators_key_gives_other_ones() -> None:
    other = Cluster(key=b"other", images=CLUSTER.images)
    name = secret_name(subject())
    mine, theirs = (manifest(JOB, "Secret", name, cluster=each) for each in (CLUSTER, other))
    assert mine["stringData"].keys() == theirs["stringData"].keys()
    assert not set(mine["stringData"].values()) & set(theirs["stringData"].values())


def test_a_later_job_of_the_same_name_has_a_secret_of_its_own() -> None:
    assert secret_name(subject()) != secret_name(subject("ffffffff-1111-2222-3333-444455556666"))


def test_the_key_is_not_told_where_the_cluster_is_printed() -> None:
    assert "secret" not in repr(Cluster(key=b"secret"))
