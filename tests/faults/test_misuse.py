"""Each field of the spec is changed on a running job, to valid and to invalid values.

The method of Acto (SOSP 2023): whatever a field is set to, the job reaches the desired state or the
change is refused by the field's name; once the field is set back, everything is as before.
"""

import copy
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.cluster.client import Client, Manifest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.operator import Operator, namespaced_rights
from tests.faults.misuse import IMAGES, Living, at
from tests.faults.values import FIELDS, Change, Kind, changes
from tests.support.waiting import wait_for

SPEC: dict[str, Any] = {
    "imagePullPolicy": "Always",
    "imagePullSecrets": ["registry"],
    "model": {"checkpoint": "/models/a", "reference": "/models/b"},
    "data": {"prompts": ["/data/train.jsonl"], "metadataKey": "metadata"},
    "algorithm": {"filter": "nonzero-std", "clip": {"dual": 3.0}, "kl": {"lossCoefficient": 0.1}},
    "schedule": {"rollouts": 300, "evalInterval": 10, "targetReward": 0.9},
    "trainer": {
        "gpusPerReplica": 1,
        "maxTokensPerGpu": 8192,
        "optimizer": {"lr": 1.0e-6},
        "template": {"metadata": {"labels": {"team": "rl"}}},
    },
    "rollout": {
        "replicas": 2,
        "gpusPerReplica": 1,
        "autoscaling": {"maxReplicas": 8, "targetWaitShare": 0.1},
        "sampling": {"stop": ["</answer>"], "stopTokenIds": [7]},
        "sglang": {"mem_fraction_static": 0.8},
    },
    "storage": {"volumes": [{"name": "data", "claimName": "datasets", "mountPath": "/data"}]},
    "evaluation": [
        {
            "name": "aime",
            "prompts": "/data/aime.jsonl",
            "limit": 100,
            "interval": 20,
            "sampling": {
                "temperature": 0.6,
                "topP": 0.95,
                "topK": 20,
                "maxResponseTokens": 512,
                "stop": ["</answer>"],
                "stopTokenIds": [7],
                "ignoreEos": False,
            },
            "reward": {"type": "math"},
        }
    ],
    "code": {"configMapRef": "hooks"},
    "runPolicy": {
        "activeDeadlineSeconds": 36000,
        "ttlSecondsAfterFinished": 600,
        "cleanPods": "None",
        "failure": [{"role": "rollout", "exitCodes": [137], "action": "Restart"}],
    },
}
NETWORK = {
    "rdma": {
        "resource": "rdma/hca",
        "networks": ["rail-0"],
        "nccl": {"ibHca": "mlx5", "gidIndex": 3, "environment": {"NCCL_DEBUG": "INFO"}},
    }
}
EXTERNAL = {"external": {"urlSecretRef": {"name": "redis", "key": "url"}}}
CRITIC = {"estimator": "ppo", "critic": {"checkpoint": "/models/critic"}}
TEACHER = {"estimator": "rloo", "distillation": {"teacher": "/models/teacher"}}
JUDGE = {"type": "judge", "url": "http://judge/v1", "judge": {"model": "big"}}
REWARDS = ("rollout.reward", "rollout.rewards[]", "evaluation[].reward")


def rewarded(place: str, reward: dict[str, Any]) -> dict[str, Any]:
    """The job with this reward at one of REWARDS."""
    if place.startswith("evaluation"):
        return {**SPEC, "evaluation": [{**SPEC["evaluation"][0], "reward": reward}]}
    given = {"reward": reward} if place.endswith("reward") else {"rewards": [reward]}
    return {**SPEC, "rollout": {**SPEC["rollout"], **given}}


# Each field is changed on a job that has it, or could have it.
SPECS = {
    "rollout.reward.judge.": rewarded("rollout.reward", JUDGE),
    "rollout.rewards[].judge.": rewarded("rollout.rewards[]", {**JUDGE, "name": "helpful"}),
    "evaluation[].reward.judge.": rewarded("evaluation[].reward", JUDGE),
    "rollout.rewards[].": rewarded("rollout.rewards[]", {"name": "right", "type": "math"}),
    "rollout.reward.": rewarded("rollout.reward", {"type": "math"}),
    "algorithm.critic.": {**SPEC, "algorithm": CRITIC},
    "algorithm.distillation.": {**SPEC, "algorithm": TEACHER},
    "network.": {**SPEC, "network": NETWORK},
    "buffer.external.": {**SPEC, "buffer": EXTERNAL},
    "": SPEC,
}
# What no schema tells. The roles of this version do not do all that the schema allows.
BY_HAND: dict[str, list[tuple[Kind, Any]]] = {
    "trainer.optimizer": [
        ("other", {"lr": 1e-6, "weight_decay": 0.1}),
        ("invalid", {"lr": 1e-6, "weight_decoy": 0.1}),
        ("invalid", {"lr": "1e-6"}),
    ],
    "algorithm.filter": [
        ("other", "my.hooks:one"),
        ("invalid", "nonzero-stdx"),
        ("invalid", 7),
    ],
    # The job is synchronous, so there is nothing to choose from.
    "rollout.bufferFilter": [("invalid", "stratified"), ("invalid", "one"), ("invalid", 7)],
    # The job has no function that reads them.
    "rollout.slimeArguments": [("invalid", {"max_turns": 4}), ("invalid", 7)],
    "algorithm.kl.estimator": [("other", "k2"), ("invalid", "k4"), ("invalid", 7)],
    # Training has texts to stop at.
    "evaluation[].sampling.ignoreEos": [("invalid", True), ("invalid", "no")],
    "evaluation[].sampling.topK": [("other", 40), ("other", -1), ("invalid", 0), ("invalid", -2)],
    **{
        f"{place}.type": [("other", "f1"), ("invalid", "mathx"), ("invalid", 7)]
        for place in REWARDS
    },
    "trainer.megatron": [("other", {"attention_dropout": 0.1}), ("invalid", {"attention": 1})],
    "rollout.sglang": [
        ("other", {"mem_fraction_static": 0.5}),
        ("other", {}),
        ("invalid", {"mem_fraction_statik": 0.5}),
        ("invalid", {"mem_fraction_static": "half"}),
    ],
    "network.rdma.nccl.environment": [
        ("other", {"NCCL_DEBUG": "WARN", "NCCL_IB_TC": "106"}),
        ("other", {}),
        ("invalid", {"NCCL_DEBUG": 1}),
    ],
    "rollout.autoscaling": [("other", {"mode": "Rate", "minReplicas": 2, "maxReplicas": 4})],
    "rollout.replicas": [("other", 3), ("other", 1), ("invalid", 0)],
    "runPolicy.activeDeadlineSeconds": [  # the least would end the job
        ("other", 36001),
        ("bound", None),
        ("invalid", 0),
        ("invalid", "many"),
    ],
    "code.configMapRef": [("other", "others"), ("invalid", "No Name")],
}
TEMPLATES: list[tuple[Kind, Any]] = [
    ("other", {"spec": {"nodeSelector": {"gpu": "h100"}}}),
    ("other", {"spec": {"tolerations": [{"key": "gpu", "operator": "Exists"}]}}),
    ("other", {"metadata": {"annotations": {"team": "rl"}}}),
    ("other", {}),
    ("invalid", {"spec": {"containers": "one"}}),
    ("invalid", {"spec": {"nodeSelector": {"gpu": 5}}}),
    ("invalid", {"spec": {"dnsPolicy": "Never"}}),
    ("invalid", {"spec": {"restartPolicy": "Sometimes"}}),
    ("invalid", {"spec": {"noSuchField": 1}}),
    ("invalid", {"spec": {"volumes": [{"name": "A b", "emptyDir": {}}]}}),
    ("other", {"metadata": {"labels": {"rljob.dev/job": "other"}}}),  # the operator's own stays
    ("invalid", {"metadata": {"labels": {"team": "not a label!"}}}),
]
BY_HAND |= {f"{role}.template": TEMPLATES for role in ("trainer", "rollout")}

# What their schemas allow contradicts another field of the job that they are tried on.
CONTRADICTING = {
    *(
        f"{place}.{field}"
        for place in REWARDS
        for field in ("typeKey", "group", "url", "apiKeyVariable", "bufferTokens", "weight")
    ),
    *(f"{place}.judge.{field}" for place in REWARDS for field in ("template", "lowest", "highest")),
    "algorithm.kl.rewardCoefficient",
    "buffer.external.url",
    "rollout.sglang.context_length",
    "trainer.microBatchSize",
    "trainer.optimizer.init_lr",
    "trainer.optimizer.min_lr",
}


def tries(path: str, spec: Manifest) -> list[Change]:
    """What a field is set to."""
    by_hand = BY_HAND.get(path)
    if by_hand is not None:
        return [Change(path, kind, value) for kind, value in by_hand]
    found = changes(path, at(spec, path))
    if path not in CONTRADICTING:
        return found
    return [replace(each, kind="bound") if each.kind == "other" else each for each in found]


class Misused:
    """Jobs of one namespace, under one operator."""

    def __init__(self, client: Client, operator: Operator) -> None:
        self._client = client
        self._operator = operator

    def try_out(self, paths: Sequence[str], jobs: int = 6) -> None:
        """Changes these fields, on some jobs at a time."""
        by_prefix: dict[str, list[str]] = {}
        for path in paths:
            by_prefix.setdefault(next(p for p in SPECS if path.startswith(p)), []).append(path)
        groups: list[tuple[str, list[str]]] = []
        for prefix, here in by_prefix.items():
            parts = min(len(here), 1 if prefix else jobs)
            groups += [(prefix, here[number::parts]) for number in range(parts)]
        with ThreadPoolExecutor(len(groups)) as pool:
            results = list(pool.map(self._job, range(len(groups)), *zip(*groups, strict=True)))
        fates: Counter[str] = sum((living.fates for living, _ in results), Counter())
        print(f"{len(paths)} fields: {dict(fates)}")
        wrong = [each for _, errors in results for each in errors]
        assert not wrong, "\n\n".join(wrong)
        assert self._is_at_rest()

    def _job(self, number: int, prefix: str, paths: Sequence[str]) -> tuple[Living, list[str]]:
        """A job, and what went wrong with it."""
        spec = copy.deepcopy(SPECS[prefix])
        living = Living(self._client.within(self._client.namespace), f"job-{number}", spec)
        wrong: list[str] = []
        living.create()
        for path in paths:
            try:
                living.try_out(tries(path, living.spec))
            except AssertionError as error:
                wrong.append(str(error))
                living.restore()
        return living, wrong

    def _is_at_rest(self) -> bool:
        """Whether the operator has nothing more to do: it writes nothing for a while."""
        wait_for(lambda: self._operator.metric("rljob_operator_queue_depth") == 0, "nothing is due")
        errors, writes = self._operator.errors(), self._operator.writes()
        time.sleep(3)  # the time in which nothing may happen
        return (self._operator.errors(), self._operator.writes()) == (errors, writes)


@pytest.fixture
def misused(control_plane: ControlPlane, cluster: Client, rljobs: None) -> Iterator[Misused]:
    options = [f"--{role}-image={image}" for role, image in IMAGES.items()]
    rights = namespaced_rights(control_plane, cluster.namespace)
    operator = Operator(
        control_plane, rights, "--no-leader-election", *options, namespace=cluster.namespace
    )
    try:
        operator.start()
        yield Misused(cluster, operator)
        operator.check()
    finally:
        operator.kill()


FIELDS_AND_PARTS = sorted({*FIELDS, *BY_HAND})


def test_some_fields(misused: Misused) -> None:
    misused.try_out(random.Random(4).sample(FIELDS_AND_PARTS, 15))


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_every_field(misused: Misused) -> None:
    misused.try_out(FIELDS_AND_PARTS)
