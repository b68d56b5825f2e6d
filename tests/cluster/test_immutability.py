"""Each field of the spec, changed alone on an existing job: allowed, or refused by name.

The method is Acto's; how far each change goes beyond the API server is for the operator.
"""

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest

from rljob.api.change import effect
from rljob_operator.crd.definition import object_schema
from rljob_operator.crd.schema import ANYTHING
from tests.cluster.client import ApiError, Client, Manifest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.crd import RESOURCE

JUDGE: dict[str, Any] = {
    "type": "judge",
    "typeKey": "kind",
    "url": "http://judge/v1",
    "apiKeyVariable": "JUDGE_KEY",
    "failureReward": -1,
    "judge": {"model": "big"},
}
# A job that gives whatever can be given together.
SPEC: dict[str, Any] = {
    "imagePullPolicy": "Always",
    "imagePullSecrets": ["registry"],
    "model": {"checkpoint": "/models/a", "reference": "/models/b", "preset": "qwen3-4b"},
    "data": {
        "prompts": ["/data/train.jsonl"],
        "metadataKey": "metadata",
        "shuffleBlock": 4096,
        "source": "my.data:Source",
        "applyChatTemplate": True,
        "chatTemplateKwargs": {"enable_thinking": False},
    },
    "algorithm": {
        "advantage": "gae",
        "loss": "clipped",
        "filter": "nonzero-std",
        "clip": {"low": 0.2, "high": 0.28, "dual": 3.0},
        "distillation": {"teacher": "/models/teacher"},
        "kl": {"rewardCoefficient": 0.1, "referenceInterval": 50},
        "critic": {"checkpoint": "/models/critic", "learningRate": 1.0e-5},
        "mismatch": {"veto": 1e-4, "sequenceMask": 0.5},
        "limits": {"gradientNorm": 50.0, "ratio": 4.0, "klToReference": 0.2},
    },
    "schedule": {
        "rollouts": 300,
        "overSamplingBatchSize": 32,
        "maxStaleness": 2,
        "evalInterval": 10,
        "keepEvery": 40,
        "targetReward": 0.9,
    },
    "trainer": {
        "gpusPerReplica": 4,
        "maxTokensPerGpu": 8192,
        "parallelism": {"tensor": 2, "expertTensor": 1},
        "megatron": {"attention_dropout": 0.1},
        "optimizer": {"lr": 1.0e-6},
        "image": "trainer:1",
        "template": {"metadata": {"labels": {"team": "rl"}}},
    },
    "rollout": {
        "replicas": 2,
        "autoscaling": {"maxReplicas": 8, "targetWaitShare": 0.1},
        "sampling": {"stop": ["</answer>"], "stopTokenIds": [7]},
        "generate": "my.agent:generate",
        "episodes": {"maxTurns": 4, "contextTokens": 8192},
        "bufferFilter": "my.buffer:pick",
        "generationTimeoutSeconds": 600,
        "slimeArguments": {"max_turns": 4},
        "reward": JUDGE,
        "sglang": {"mem_fraction_static": 0.8},
        "image": "rollout:1",
        "template": {"metadata": {"labels": {"team": "rl"}}},
        "router": {"template": {"metadata": {"labels": {"team": "rl"}}}},
    },
    "weights": {"transport": "disk", "fullInterval": 10},
    "buffer": {
        "persistence": {"size": "10Gi"},
        "memory": "1Gi",
        "template": {"metadata": {"labels": {"team": "rl"}}},
    },
    "network": {
        "rdma": {
            "resource": "rdma/hca",
            "networks": ["rail-0"],
            "nccl": {"ibHca": "mlx5", "gidIndex": 3, "environment": {"NCCL_DEBUG": "INFO"}},
        }
    },
    "storage": {
        "run": {"claimName": "runs", "storageClass": "fast", "directory": "runs"},
        "volumes": [{"name": "data", "claimName": "datasets", "mountPath": "/data"}],
    },
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
                "maxResponseTokens": 2048,
                "stop": ["</answer>"],
                "stopTokenIds": [7],
                "ignoreEos": False,
            },
            "reward": JUDGE,
        }
    ],
    "code": {"configMapRef": "hooks", "directory": "hooks"},
    "runPolicy": {
        "activeDeadlineSeconds": 3600,
        "ttlSecondsAfterFinished": 600,
        "cleanPods": "None",
        "failure": [{"role": "rollout", "exitCodes": [137], "action": "Restart"}],
    },
    "tracking": {"wandb": {"project": "math", "group": "sweep"}},
}
# The same job with what the first can't have as well.
EXTERNAL = {
    **SPEC,
    "model": {
        "checkpoint": "/models/a",
        "architecture": {"num_hidden_layers": 36, "hidden_act": "silu", "rope_scaling": {"a": [1]}},
    },
    "data": {"prompts": ["/data/train.jsonl"], "metadataKey": "metadata"},
    "trainer": {**SPEC["trainer"], "dataWorkers": 4},
    "rollout": {
        **{name: value for name, value in SPEC["rollout"].items() if name != "reward"},
        "rewards": [{**JUDGE, "name": "helpful"}],
    },
    "buffer": {"external": {"urlSecretRef": {"name": "redis", "key": "url"}}},
}
UNJUDGED = {"url": None, "apiKeyVariable": None, "judge": None}
# Values where another one made by rule would not be valid, or is not the only change needed.
CHANGES: dict[str, dict[str, Any]] = {
    "model.architecture": {"model.preset": None, "model.architecture": {"num_layers": 36}},
    "algorithm.estimator": {"algorithm.estimator": "gspo"},
    "algorithm.advantage": {"algorithm.advantage": "grpo"},
    "algorithm.loss": {"algorithm.loss": "cispo"},
    "algorithm.kl.lossCoefficient": {
        "algorithm.kl.lossCoefficient": 0.5,
        "algorithm.kl.rewardCoefficient": 0.0,
    },
    "algorithm.filter": {"algorithm.filter": "my.filter:keep"},
    "algorithm.mismatch.old": {
        "algorithm.mismatch.old": "rollout",
        "algorithm.mismatch.veto": None,
    },
    "trainer.microBatchSize": {"trainer.maxTokensPerGpu": None, "trainer.microBatchSize": 2},
    **{
        f"{reward}.{field}": {f"{reward}.{name}": value for name, value in changes.items()}
        for reward in ("rollout.reward", "rollout.rewards[]", "evaluation[].reward")
        for field, changes in {
            "type": {"type": "f1", **UNJUDGED},
            "group": {"group": True, "type": "my.rewards:rank", **UNJUDGED},
            "bufferTokens": {"bufferTokens": 16, "type": "overlong", **UNJUDGED},
            "memory": {"memory": "4Gi"},
        }.items()
    },
    "rollout.episodes.memory": {"rollout.episodes.memory": "8Gi"},
    "evaluation[].sampling.ignoreEos": {
        "evaluation[].sampling.ignoreEos": True,
        "evaluation[].sampling.stop": [],
        "evaluation[].sampling.stopTokenIds": [],
    },
    "buffer.memory": {"buffer.memory": "2Gi"},
    "weights.transport": {"weights.transport": "broadcast", "weights.fullInterval": 1},
    "buffer.persistence.size": {"buffer.persistence.size": "20Gi"},
    "buffer.external.url": {
        "buffer.external.url": "redis://redis:6379",
        "buffer.external.urlSecretRef": None,
    },
    "storage.run.size": {"storage.run.size": "20Gi"},
}
SAID = "(immutable; for another value, create a new job)"


def leaves(part: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The fields of a schema that have none inside; items of lists as `[]`."""
    for name, field in part["properties"].items():
        here = f"{path}.{name}".lstrip(".")
        inside = field.get("items", field)
        if "properties" in inside and ANYTHING not in inside:
            yield from leaves(inside, here if inside is field else f"{here}[]")
        else:
            yield here, field


FIELDS = dict(leaves(object_schema()["properties"]["spec"]))
OPTIONAL = [path for path, field in FIELDS.items() if field.get("nullable")]
# By others; the url of a judge is required.
EXCLUDED = (
    "model.architecture",
    "trainer.microBatchSize",
    "buffer.external.url",
    *(
        f"{reward}.{field}"
        for reward in ("rollout.reward", "rollout.rewards[]", "evaluation[].reward")
        for field in ("url", "bufferTokens")
    ),
)


@pytest.fixture(scope="module")
def jobs(control_plane: ControlPlane, rljobs: None) -> Iterator[dict[str, Manifest]]:
    """The two jobs, as they are stored."""
    client = control_plane.client("immutability")
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "immutability"}})
    head = {"apiVersion": "rljob.dev/v1alpha1", "kind": "RLJob"}
    yield {
        name: client.create({**head, "metadata": {"name": name}, "spec": spec})
        for name, spec in (("embedded", SPEC), ("external", EXTERNAL))
    }
    control_plane.client("").discard("v1/namespaces", "immutability")


@pytest.fixture(scope="module")
def client(control_plane: ControlPlane) -> Client:
    return control_plane.client("immutability")


def job_for(path: str, jobs: dict[str, Manifest]) -> Manifest:
    external = path.startswith(("buffer.external", "rollout.rewards[]", "trainer.dataWorkers"))
    return copy.deepcopy(jobs["external" if external else "embedded"])


def holder(manifest: Manifest, path: str) -> tuple[dict[str, Any], str]:
    """The mapping that a field of the spec is in, the first item of a list, and its key."""
    part: Any = manifest["spec"]
    *outer, name = path.split(".")
    for step in outer:
        part = part[step.removesuffix("[]")]
        part = part[0] if step.endswith("[]") else part
    return part, name


def another(value: Any, field: dict[str, Any]) -> Any:
    """Another value of a field; None: it has none yet."""
    kind = field["type"]
    if "enum" in field:
        return next(choice for choice in field["enum"] if choice != value)
    if kind == "array":
        return [*value, another(value[-1], field["items"])]
    made = {
        "boolean": lambda: not value,
        "integer": lambda: (value or 0) + 1,
        "number": lambda: value / 2 or 0.5,
        "string": lambda: f"{value}x",
        "object": dict,
    }
    return made[kind]()


def replaced(client: Client, manifest: Manifest) -> str:
    """What the API server says against a changed job; "" where it takes it. It is not stored."""
    path = client.path(RESOURCE, manifest["metadata"]["name"])
    try:
        client.request("PUT", path, manifest, dryRun="All")
    except ApiError as error:
        return error.message
    return ""


def verdict(path: str, said: str) -> None:
    """Fails unless what the API server says is what `rljob.api.change` promises of the field."""
    if effect(path) == "immutable":
        # A list is compared as a whole.
        field = re.escape(f"spec.{path.partition('[]')[0]}")
        assert re.search(rf"{field}: Invalid value: found .*, allowed .* {re.escape(SAID)}", said)
    else:
        assert said == ""


@pytest.mark.parametrize("path", FIELDS)
def test_a_change(client: Client, jobs: dict[str, Manifest], path: str) -> None:
    manifest = job_for(path, jobs)
    part, name = holder(manifest, path)
    changes = CHANGES.get(path) or {path: another(part.get(name), FIELDS[path])}
    for changed, value in changes.items():
        part, name = holder(manifest, changed)
        assert part.get(name) != value
        part[name] = value
    verdict(path, replaced(client, manifest))


@pytest.mark.parametrize(
    "change",
    [{"num_hidden_layers": 35}, {"hidden_act": "gelu"}, {"rope_scaling": {"a": [2]}}],
    ids=str,
)
def test_a_change_inside_of_what_is_handed_on(
    client: Client, jobs: dict[str, Manifest], change: dict[str, Any]
) -> None:
    manifest = copy.deepcopy(jobs["external"])
    manifest["spec"]["model"]["architecture"] |= change
    verdict("model.architecture", replaced(client, manifest))


@pytest.mark.parametrize("path", [path for path in OPTIONAL if path not in EXCLUDED])
def test_an_optional_field_is_taken_away(
    client: Client, jobs: dict[str, Manifest], path: str
) -> None:
    manifest = job_for(path, jobs)
    part, name = holder(manifest, path)
    del part[name]
    verdict(path, replaced(client, manifest))


def test_a_reward_does_not_come_or_go(client: Client, jobs: dict[str, Manifest]) -> None:
    manifest = copy.deepcopy(jobs["embedded"])
    del manifest["spec"]["rollout"]["reward"]
    verdict("rollout.reward.type", replaced(client, manifest).replace("reward:", "reward.type:"))


def test_a_job_that_trains_does_not_become_an_evaluation(
    client: Client, jobs: dict[str, Manifest]
) -> None:
    manifest = copy.deepcopy(jobs["embedded"])
    manifest["spec"]["schedule"]["rollouts"] = 0
    assert (
        "spec.schedule.rollouts: Invalid value: found 0, allowed at least 1 (the job trains; to "
        "evaluate it, create a new job)"
    ) in replaced(client, manifest)


def test_a_job_that_evaluates_may_train(client: Client, jobs: dict[str, Manifest]) -> None:
    manifest = copy.deepcopy(jobs["embedded"])
    new = {**manifest, "metadata": {"name": "evaluation"}}
    new["spec"]["schedule"]["rollouts"] = 0
    stored = client.create(new)
    stored["spec"]["schedule"]["rollouts"] = 300
    assert replaced(client, stored) == ""


@pytest.mark.parametrize("name", ["embedded", "external"])
def test_no_change_is_always_allowed(client: Client, jobs: dict[str, Manifest], name: str) -> None:
    assert replaced(client, copy.deepcopy(jobs[name])) == ""


@pytest.mark.parametrize("part", ["buffer.persistence", "buffer.external"])
def test_the_kind_of_buffer_stays(client: Client, jobs: dict[str, Manifest], part: str) -> None:
    other = {"buffer.persistence": "external", "buffer.external": "embedded"}[part]
    manifest = copy.deepcopy(jobs["embedded" if other == "external" else "external"])
    manifest["spec"]["buffer"] = jobs[other]["spec"]["buffer"]
    assert "spec.buffer.persistence: Invalid value: found " in replaced(client, manifest)
