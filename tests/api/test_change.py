"""Every field of the spec has an effect, and the fields that define a run are listed once."""

from collections.abc import Iterator

import pytest

from rljob.api.change import EFFECTS, MEANING, SAME_RUN, effect, is_divided
from rljob.api.vocabulary import Schema, part_of, root, variants


def _fields(prefix: str, schema: Schema) -> Iterator[str]:
    part = part_of(schema)
    for key, value in (part["properties"] if part else {}).items():
        yield f"{prefix}{key}"
        yield from _fields(f"{prefix}{key}.", value)
        for item in (alternative.get("items", {}) for alternative in variants(value)):
            yield from _fields(f"{prefix}{key}[].", item)


FIELDS = list(_fields("", root()["properties"]["spec"]))


def test_each_field_has_an_effect() -> None:
    assert len(FIELDS) > 130
    assert {effect(field) for field in FIELDS} == set(MEANING)


def test_effects_are_of_fields_that_exist() -> None:
    assert set(EFFECTS) - set(FIELDS) == set()


def test_no_entry_says_what_holds_without_it() -> None:
    for field, said in EFFECTS.items():
        outer = field.rpartition(".")[0]
        assert not outer or effect(outer) != said, field


def test_nothing_can_change_inside_what_is_immutable() -> None:
    for field in FIELDS:
        outer = field.rpartition(".")[0]
        if outer and effect(outer) == "immutable":
            assert effect(field) == "immutable", field


def test_an_unknown_field_has_none() -> None:
    with pytest.raises(KeyError):
        effect("colour")


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("schedule.rollouts", "trainer"),
        ("schedule.maxStaleness", "immutable"),
        ("trainer.optimizer", "trainer"),
        ("trainer.optimizer.lr", "trainer"),
        ("trainer.optimizer.use_distributed_optimizer", "immutable"),
        ("rollout.replicas", "live"),
        ("rollout.autoscaling.maxReplicas", "live"),
        ("rollout.sglang", "rollout"),
        ("rollout.sampling.temperature", "immutable"),
        ("evaluation", "trainer"),
        ("evaluation[].samplesPerPrompt", "trainer"),
        ("evaluation[].sampling.maxResponseTokens", "all"),
        ("storage.volumes[].readOnly", "all"),
        ("storage.run.claimName", "immutable"),
        ("runPolicy.failure[].action", "live"),
    ],
)
def test_effect(field: str, expected: str) -> None:
    assert effect(field) == expected


def test_what_is_divided() -> None:
    divided = {field for field in FIELDS if is_divided(field)}
    assert {"schedule", "trainer", "evaluation", "evaluation[].sampling"} <= divided
    assert not {"seed", "model", "runPolicy", "storage.run", "rollout.sampling"} & divided


def test_the_same_run_is_immutable() -> None:
    assert {effect(field) for field in SAME_RUN} == {"immutable"}
