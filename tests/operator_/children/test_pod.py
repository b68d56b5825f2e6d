"""What the pods of all roles share."""

from typing import Any

import pytest

from rljob.api.review import review
from rljob_operator.children import Want, children
from tests.operator_.simulation import CLUSTER, a_job


def pods(**spec: Any) -> dict[str, dict[str, Any]]:
    """The pod specs of a job's roles, by name of the workload."""
    job, problems = review(a_job(**spec))
    assert job is not None, problems
    return {
        child.ref.name: child.manifest["spec"]["template"]["spec"]
        for child in children(job, "uid", Want(1, 1, 1, 1), CLUSTER)
        if child.ref.kind in ("StatefulSet", "Deployment")
    }


ROLES = ("job-trainer", "job-rollout", "job-buffer", "job-router")


@pytest.mark.parametrize("name", ROLES)
def test_images_are_pulled_as_the_job_says(name: str) -> None:
    pod = pods(imagePullPolicy="Always", imagePullSecrets=["registry", "mirror"])[name]
    assert pod["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]
    assert [container["imagePullPolicy"] for container in pod["containers"]] == ["Always"]


@pytest.mark.parametrize("name", ROLES)
def test_without_a_word_images_are_pulled_as_kubernetes_has_it(name: str) -> None:
    pod = pods()[name]
    assert "imagePullSecrets" not in pod
    assert "imagePullPolicy" not in pod["containers"][0]
