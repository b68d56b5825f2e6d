"""A job and its children, as the tests build them."""

import copy
from collections.abc import Mapping
from typing import Any

from rljob.api import RLJob
from rljob_operator.children import Want, Wanted, children
from rljob_operator.observed import Cluster, Ref

UID = "0b1c2d3e-1111-2222-3333-444455556666"
CLUSTER = Cluster(key=b"key", images={"trainer": "trainer:1", "rollout": "rollout:1"})
WORKLOADS = {
    "trainer": Ref("StatefulSet", "math-trainer"),
    "rollout": Ref("Deployment", "math-rollout"),
    "buffer": Ref("StatefulSet", "math-buffer"),
    "router": Ref("Deployment", "math-router"),
}
# A job that says something in most of its parts.
SPEC: dict[str, Any] = {
    "imagePullSecrets": ["registry"],
    "model": {"checkpoint": "/models/a"},
    "data": {"prompts": ["/data/train.jsonl"]},
    "schedule": {"rollouts": 300},
    "trainer": {"gpusPerReplica": 4, "image": "trainer:2", "template": {"spec": {"priority": 1}}},
    "rollout": {
        "replicas": 2,
        "image": "rollout:2",
        "reward": {"type": "math"},
        "router": {"enabled": True},
        "template": {"spec": {"priority": 1}},
    },
    "network": {"rdma": {"resource": "rdma/hca", "networks": ["rail-0"]}},
    "storage": {"volumes": [{"name": "data", "claimName": "data", "mountPath": "/data"}]},
    "evaluation": [
        {"name": "aime", "prompts": "/data/aime.jsonl", "sampling": {"maxResponseTokens": 2048}}
    ],
    "code": {"configMapRef": "hooks"},
}


def a_job(spec: Mapping[str, Any] = SPEC, **sections: Any) -> RLJob:
    """The job of a spec, where `sections` stand for those of the same names."""
    return RLJob.model_validate(
        {
            "apiVersion": "rljob.dev/v1alpha1",
            "kind": "RLJob",
            "metadata": {"name": "math", "namespace": "team", "uid": UID},
            "spec": {**copy.deepcopy(dict(spec)), **sections},
        }
    )


def minimal(**sections: Any) -> RLJob:
    """A job that says what it must and has a router, and `sections`."""
    said = {name: SPEC[name] for name in ("model", "data", "schedule")}
    rollout = {"router": {"enabled": True}, **sections.pop("rollout", {})}
    return a_job(said, rollout=rollout, **sections)


def want(job: RLJob) -> Want:
    """All of its replicas."""
    rollout = 0 if job.spec.colocate else job.spec.rollout.replicas
    return Want(trainer=job.spec.trainer.replicas, rollout=rollout, buffer=1, router=1)


def children_of(
    job: RLJob, *, cluster: Cluster = CLUSTER, replicas: Want | None = None
) -> dict[Ref, Wanted]:
    """Its children by kind and name."""
    made = children(job, UID, replicas or want(job), cluster)
    assert len({each.ref for each in made}) == len(made)
    return {each.ref: each for each in made}


def manifest(job: RLJob, kind: str, name: str, **options: Any) -> Mapping[str, Any]:
    """One of its children."""
    return children_of(job, **options)[Ref(kind, name)].manifest


def templates(job: RLJob, **options: Any) -> dict[str, Mapping[str, Any]]:
    """The pod templates of its roles; a role without a workload is not in it."""
    made = children_of(job, **options)
    return {
        role: made[ref].manifest["spec"]["template"]
        for role, ref in WORKLOADS.items()
        if ref in made
    }


def container(job: RLJob, role: str) -> dict[str, Any]:
    """The container of a role."""
    (found,) = templates(job)[role]["spec"]["containers"]
    return dict(found)


def variables(job: RLJob, role: str) -> dict[str, Any]:
    """Its environment: texts, or where a value is from."""
    found = container(job, role)["env"]
    assert len({each["name"] for each in found}) == len(found)
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in found}
