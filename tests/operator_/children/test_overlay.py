"""The user's overlay on a pod template; tests/cluster compares the merge with kubectl's."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rljob_operator import names
from rljob_operator.children.overlay import merge
from tests.operator_.children.subject import a_job, minimal, templates

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["spec", "metadata", "labels", "containers", "name", "env", "$patch", "volumes"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)
OVERLAYS = st.dictionaries(st.sampled_from(["spec", "metadata", "labels"]), JSON, max_size=3)


def overlaid(template: dict[str, Any]) -> dict[str, Any]:
    """The trainer's pod template with an overlay."""
    return dict(templates(minimal(trainer={"template": template}))["trainer"])


def test_it_reaches_the_pods_of_its_role_only() -> None:
    template = {"metadata": {"labels": {"team": "rl"}}, "spec": {"priorityClassName": "high"}}
    made = templates(minimal(rollout={"template": template}))
    assert made["rollout"]["spec"]["priorityClassName"] == "high"
    assert made["rollout"]["metadata"]["labels"]["team"] == "rl"
    for role in ("trainer", "buffer", "router"):
        assert made[role] == templates(minimal())[role]


def test_containers_are_merged_by_name() -> None:
    sidecar = {"name": "logs", "image": "logs:1"}
    memory = {"name": "trainer", "resources": {"limits": {"memory": "64Gi"}}}
    first, second = overlaid({"spec": {"containers": [sidecar, memory]}})["spec"]["containers"]
    assert first["resources"]["limits"] == {"nvidia.com/gpu": "1", "memory": "64Gi"}
    assert first["image"] == "trainer:1"
    assert second == sidecar


def test_tolerations_are_replaced_and_null_removes() -> None:
    toleration = {"key": "gpu", "operator": "Exists"}
    spec = overlaid({"spec": {"tolerations": [toleration], "securityContext": {"fsGroup": None}}})
    assert spec["spec"]["tolerations"] == [toleration]
    assert "fsGroup" not in spec["spec"]["securityContext"]
    assert spec["spec"]["securityContext"]["runAsNonRoot"]


def test_a_variable_and_a_volume_have_one_source() -> None:
    """Where kubectl would leave two, which the API server refuses."""
    volume = {"name": "shm", "hostPath": {"path": "/dev/shm"}}
    host = {"name": "RLJOB_HOST", "value": "127.0.0.1"}
    name = {"name": "RLJOB_NAME", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}
    spec = overlaid(
        {"spec": {"volumes": [volume], "containers": [{"name": "trainer", "env": [host, name]}]}}
    )["spec"]
    assert volume in spec["volumes"]
    assert host in spec["containers"][0]["env"]
    assert name in spec["containers"][0]["env"]


def test_a_source_is_completed() -> None:
    volume = {"name": "shm", "emptyDir": {"sizeLimit": "8Gi"}}
    spec = overlaid({"spec": {"volumes": [volume]}})["spec"]
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}} in spec["volumes"]


def test_directives() -> None:
    base = {"a": {"b": 1, "c": 2}, "volumes": [{"name": "x"}, {"name": "y"}]}
    assert merge(base, {"a": {"$patch": "replace", "d": 3}})["a"] == {"d": 3}
    assert "a" not in merge(base, {"a": {"$patch": "delete"}})
    assert merge(base, {"a": {"$retainKeys": ["c"], "d": 3}})["a"] == {"c": 2, "d": 3}
    delete = {"volumes": [{"name": "x", "$patch": "delete"}, {"name": "z"}]}
    assert merge(base, delete)["volumes"] == [{"name": "y"}, {"name": "z"}]
    replace = {"volumes": [{"$patch": "replace"}, {"name": "z"}]}
    assert merge(base, replace)["volumes"] == [{"name": "z"}]


@pytest.mark.parametrize(
    "template",
    [
        {"metadata": None},
        {"metadata": {"labels": {names.LABEL_ROLE: "other"}, "annotations": None}},
        {"metadata": {"$patch": "replace"}},
    ],
)
def test_pods_stay_the_jobs(template: dict[str, Any]) -> None:
    before = overlaid({})["metadata"]
    after = overlaid(template)["metadata"]
    assert after["labels"] == before["labels"]
    assert after["annotations"].keys() == before["annotations"].keys()


@settings(max_examples=200, deadline=None)
@given(OVERLAYS)
def test_whatever_it_says_the_base_is_not_changed_and_nothing_breaks(
    overlay: dict[str, Any],
) -> None:
    before = templates(a_job())
    templates(a_job(trainer={"template": overlay}))
    assert templates(a_job()) == before


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_a_merge_is_total(value: Any) -> None:
    base = {"spec": {"containers": [{"name": "a"}], "volumes": [{"name": "b"}]}, "metadata": {}}
    merge(base, {"spec": value, "metadata": value})
    merge(base, {"spec": {"containers": value, "volumes": [value]}})
