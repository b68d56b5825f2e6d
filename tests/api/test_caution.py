"""Warnings: what the algorithm does not correct is reported with its line, but not refused."""

from pathlib import Path

import pytest

from rljob.api.load import load_with_warnings

MANIFEST = """\
apiVersion: rljob.dev/v1alpha1
kind: RLJob
metadata: {{name: math}}
spec:
  model: {{checkpoint: /models/Qwen3-4B}}
  data: {{prompts: [/data/train.jsonl]}}
  schedule: {{rollouts: 300{schedule}}}
  algorithm: {{mismatch: {{{mismatch}}}}}
  rollout: {{sampling: {{{sampling}}}}}
"""


def warned(tmp_path: Path, schedule: str = "", mismatch: str = "", sampling: str = "") -> list[str]:
    """The warnings of a manifest that is valid, without the name of the file."""
    file = tmp_path / "job.yaml"
    file.write_text(MANIFEST.format(schedule=schedule, mismatch=mismatch, sampling=sampling))
    jobs, problems, warnings = load_with_warnings(file)
    assert (len(jobs), problems) == (1, [])
    return [str(warning).removeprefix(f"{file}:") for warning in warnings]


def test_a_plain_job_has_none(tmp_path: Path) -> None:
    assert warned(tmp_path) == []
    assert warned(tmp_path, schedule=", maxStaleness: 1") == []


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"schedule": ", maxStaleness: 2"}, "7:29: spec.schedule.maxStaleness: warning: found 2: "),
        (
            {"schedule": ", updateWeightsInterval: 2, maxUses: 2"},
            "7:55: spec.schedule.maxUses: warning: found 2: ",
        ),
        ({"sampling": "topP: 0.9"}, "9:24: spec.rollout.sampling.topP: warning: found 0.9: "),
        ({"sampling": "topK: 50"}, "9:24: spec.rollout.sampling.topK: warning: found 50: "),
    ],
)
def test_each_is_told_with_its_place(given: dict[str, str], place: str, tmp_path: Path) -> None:
    (warning,) = warned(tmp_path, **given)
    assert warning.startswith(place)


@pytest.mark.parametrize(
    "mismatch", ["correction: tis", "correction: icepop", "correction: mis", "old: rollout"]
)
def test_a_correction_answers_for_old_tokens(mismatch: str, tmp_path: Path) -> None:
    assert warned(tmp_path, schedule=", maxStaleness: 4", mismatch=mismatch) == []


@pytest.mark.parametrize("mismatch", ["veto: 1.0e-4", "sequenceMask: 0.5"])
def test_leaving_samples_out_does_not(mismatch: str, tmp_path: Path) -> None:
    assert len(warned(tmp_path, schedule=", maxStaleness: 4", mismatch=mismatch)) == 1


def test_no_correction_answers_for_truncated_sampling(tmp_path: Path) -> None:
    assert len(warned(tmp_path, mismatch="correction: tis", sampling="topP: 0.9, topK: 20")) == 2
