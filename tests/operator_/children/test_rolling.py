"""A change of a field replaces the pods listed in rljob.api.change, and no others."""

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rljob.api import RLJob
from rljob.api.change import effect
from rljob.api.vocabulary import Schema, part_of, resolve, root, variants
from rljob_operator.children import Want
from rljob_operator.observed import Cluster, Ref
from tests.operator_.children.subject import CLUSTER, SPEC, a_job, children_of, templates

# What reaches the pods of router and buffer beside the job's file, which they read no option of.
ROUTER = ("imagePull", "rollout.image", "rollout.router", "buffer.external", "code.configMapRef")
BUFFER = (
    "imagePull",
    "trainer.image",
    "buffer.external",
    "buffer.memory",
    "buffer.template",
    "code.configMapRef",
)
# What a part needs that the job does not have.
NEEDED: dict[str, dict[str, Any]] = {
    "urlSecretRef": {"name": "redis", "key": "url"},
    "failure[]": {"exitCodes": [137], "action": "Restart"},
    "wandb": {"project": "math"},
    "distillation": {"teacher": "/models/teacher"},
    "judge": {"model": "big"},
}
TEXTS = (
    "one",
    "two",
    "my.hooks:one",
    "https://one/score",
    "redis://one:6379",
    "/one",
    "1Gi",
    "a.dev/b",
)


def fields(prefix: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """The fields without parts of their own; items of lists as `[]`."""
    part = part_of(schema)
    for key, value in (part["properties"] if part else {}).items():
        items = [each["items"] for each in variants(value) if "items" in each]
        if part_of(value):
            yield from fields(f"{prefix}{key}.", value)
        elif items and part_of(items[0]):
            yield from fields(f"{prefix}{key}[].", items[0])
        else:
            yield f"{prefix}{key}", value


def values(schema: Schema) -> st.SearchStrategy[Any]:
    """Values that the schema allows."""
    choices = resolve(schema).get("anyOf", [schema])
    return st.one_of([_values(resolve(choice)) for choice in choices])


def _values(schema: Schema) -> st.SearchStrategy[Any]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    match schema["type"]:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            least = schema.get("minimum", 0)
            return st.integers(least, min(schema.get("maximum", least + 99), least + 99))
        case "number":
            low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
            high = schema.get("maximum", schema.get("exclusiveMaximum", low + 9))
            return st.floats(low, high, exclude_min=True, exclude_max=True)
        case "array":
            unique = schema.get("uniqueItems", True)
            least = schema.get("minItems", 0)
            return st.lists(values(schema["items"]), min_size=least, max_size=3, unique=unique)
        case "object":
            return st.dictionaries(st.sampled_from(["one", "two"]), st.just("1"), max_size=2)
    fits = [text for text in TEXTS if re.search(schema.get("pattern", ""), text)]
    return st.sampled_from(fits)


FIELDS = dict(fields("", root()["properties"]["spec"]))
CHANGEABLE = [field for field in FIELDS if effect(field) != "immutable"]


def changed(field: str, value: Any) -> RLJob:
    """The job with another value in a field; of a list, in its first item."""
    spec = copy.deepcopy(SPEC)
    *parts, last = field.split(".")
    inner: Any = spec
    for part in parts:
        name, needed = part.removesuffix("[]"), dict(NEEDED.get(part, {}))
        inner = inner.setdefault(name, [needed] if part.endswith("[]") else needed)
        inner = inner[0] if part.endswith("[]") else inner
    inner[last] = value
    return a_job(spec)


def rolled(before: RLJob, after: RLJob) -> set[str]:
    """The roles whose pods another template replaces."""
    replicas = Want(trainer=1, rollout=2, buffer=1, router=1)
    old, new = (templates(job, replicas=replicas) for job in (before, after))
    return {role for role in old.keys() | new.keys() if old.get(role) != new.get(role)}


def expected(field: str) -> set[str]:
    """The roles that a change of a field has to reach."""
    said = effect(field)
    roles = {role for role in ("trainer", "rollout") if said in (role, "all")}
    roles |= {"router"} if field.startswith(ROUTER) else set()
    return roles | ({"buffer"} if field.startswith(BUFFER) else set())


@pytest.mark.parametrize("field", CHANGEABLE)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_a_change_rolls_what_it_says_and_only_that(field: str, data: st.DataObject) -> None:
    before, after = a_job(), changed(field, data.draw(values(FIELDS[field])))
    differs = before.spec != after.spec
    assert rolled(before, after) == (expected(field) if differs else set())


def test_the_fields_are_all_of_them() -> None:
    assert len(FIELDS) > 110
    assert {"evaluation[].sampling.maxResponseTokens", "trainer.template"} <= set(CHANGEABLE)
    assert {effect(field) for field in CHANGEABLE} == {"live", "rollout", "trainer", "all"}


def config_map(job: RLJob) -> Mapping[str, Any]:
    found: Mapping[str, Any] = children_of(job)[Ref("ConfigMap", "math-job")].manifest
    return found


@pytest.mark.parametrize("field", CHANGEABLE)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_roles_are_not_told_of_what_the_operator_alone_reads(
    field: str, data: st.DataObject
) -> None:
    after = changed(field, data.draw(values(FIELDS[field])))
    if effect(field) == "live":
        assert config_map(a_job()) == config_map(after)


@pytest.mark.parametrize("section", ["schedule", "algorithm", "trainer", "evaluation", "weights"])
def test_roles_are_told_of_the_rest(section: str) -> None:
    field, value = {
        "schedule": ("schedule.rollouts", 7),
        "algorithm": ("algorithm.entropyCoefficient", 0.5),
        "trainer": ("trainer.optimizer", {"lr": 0.5}),
        "evaluation": ("evaluation[].samplesPerPrompt", 7),
        "weights": ("weights.bucketMebibytes", 7),
    }[section]
    assert config_map(a_job()) != config_map(changed(field, value))


def test_the_same_job_has_the_same_children() -> None:
    assert children_of(a_job()) == children_of(a_job())
    # Also where the manifest, or what the cluster can do, is in another order.
    turned = a_job(dict(reversed(SPEC.items())))
    kinds = Cluster(key=CLUSTER.key, images=dict(reversed(CLUSTER.images.items())))
    assert children_of(turned, cluster=kinds) == children_of(a_job())


def test_a_default_that_is_written_out_changes_nothing() -> None:
    written = a_job(suspend=False, weights={"transport": "broadcast"})
    assert children_of(written) == children_of(a_job())


def test_another_evaluation_is_nothing_to_the_engines_unless_it_is_longer() -> None:
    (first,) = SPEC["evaluation"]
    same = {**first, "name": "math"}
    unset = {"name": "gsm8k", "prompts": "/data/gsm8k.jsonl"}
    longer = {**first, "name": "long", "sampling": {"maxResponseTokens": 4096}}
    for added in (same, unset):
        assert rolled(a_job(), a_job(evaluation=[first, added])) == {"trainer"}
        assert rolled(a_job(), a_job(evaluation=[added, first])) == {"trainer"}
    assert rolled(a_job(), a_job(evaluation=[first, longer])) == {"trainer", "rollout"}


def test_replicas_roll_nothing() -> None:
    few, many = (
        templates(a_job(), replicas=Want(trainer=1, rollout=n, buffer=1, router=1)) for n in (1, 9)
    )
    assert few == many
