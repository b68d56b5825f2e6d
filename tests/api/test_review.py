"""The verdict on an object from the API server."""

from pathlib import Path
from typing import Any

import pytest

from rljob.api.review import review
from tests.support.corpus import CORPUS, REPOSITORY


def manifest(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "rljob.dev/v1alpha1",
        "kind": "RLJob",
        "metadata": {"name": "math", "namespace": "team", "uid": "1", "generation": 2},
        "spec": {
            "model": {"checkpoint": "/models/Qwen3-4B"},
            "data": {"prompts": ["/data/train.jsonl"]},
            "schedule": {"rollouts": 300},
            **spec,
        },
        "status": {"phase": "of another version", "unknown": True},
    }


def test_a_sound_object_gives_a_job_whatever_its_status_says() -> None:
    job, problems = review(manifest())
    assert problems == []
    assert job is not None
    assert job.key == "team/math"


def test_all_problems_are_told_without_a_place() -> None:
    job, problems = review(manifest(seed=-1, rollout={"sglang": {"port": 1}}))
    assert job is None
    assert [str(problem) for problem in problems] == [
        "spec.seed: found -1, allowed a whole number of at least 0",
        "spec.rollout.sglang.port: rljob sets this option itself; leave it out",
    ]


def test_a_default_is_told_as_a_value() -> None:
    """The API server has filled it in."""
    _, problems = review(manifest(colocate=True))
    assert [problem.found for problem in problems] == ['"broadcast"']


def test_another_kind() -> None:
    assert [str(p) for p in review({"kind": "Job"})[1]] == ['kind: found "Job", allowed RLJob']


@pytest.mark.parametrize("levels", [70, 9_000])
def test_no_depth_crashes(levels: int) -> None:
    """The API server takes 10,000 levels."""
    deep: Any = 1
    for _ in range(levels):
        deep = {"a": [deep]}
    job, problems = review(manifest(rollout={"template": deep}, trainer={"megatron": deep}))
    assert job is None
    assert [str(problem) for problem in problems] == [
        "spec.rollout.template: nested deeper than 64 levels",
        "spec.trainer.megatron: nested deeper than 64 levels",
    ]


def test_paths_are_of_the_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    """This directory has a config.json for 2048 positions, and means nothing in the cluster."""
    monkeypatch.chdir(REPOSITORY / CORPUS)
    assert Path("checkpoint/config.json").exists()
    sampling = {"sampling": {"maxResponseTokens": 4096}}
    assert review(manifest(model={"checkpoint": "checkpoint"}, rollout=sampling))[1] == []
