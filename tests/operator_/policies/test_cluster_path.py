"""Paths of a manifest, which on a cluster are not relative to a directory."""

from typing import Any

import pytest

from tests.operator_.simulation import Simulation, a_job


@pytest.mark.parametrize(
    ("section", "field"),
    [
        ({"model": {"checkpoint": "a/b"}}, "spec.model.checkpoint"),
        ({"model": {"checkpoint": "/a", "reference": "b"}}, "spec.model.reference"),
        ({"data": {"prompts": ["/a.jsonl", "./b.jsonl"]}}, "spec.data.prompts[1]"),
        (
            {"evaluation": [{"name": "aime", "prompts": "aime.jsonl"}]},
            "spec.evaluation[0].prompts",
        ),
    ],
)
def test_a_relative_path_is_refused(section: dict[str, Any], field: str) -> None:
    accepted = Simulation(a_job(**section)).settle().condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "Invalid")
    assert accepted["message"].startswith(f"{field}: found ")
    assert "an absolute path" in accepted["message"]
