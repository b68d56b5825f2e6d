"""`rljob eval` without an engine: what it would run, what it refuses, and what it shows.

The whole command: tests/integration/test_run.py.
"""

import json
import shutil
from pathlib import Path

import pytest

from rljob.cli.evaluation import prepare
from rljob.errors import UsageError
from rljob.plan.resolve import resolve
from tests.cli.conftest import Command
from tests.support.run_dir import MANIFEST, job, write_inputs, write_run_dir

SCORES = [
    {"name": "aime", "reward": 0.25, "margin": 0.125, "pass@1": 0.25, "pass@2": 0.5},
    {"name": "gsm8k", "reward": 0.5, "pass@1": 0.5},
]
ONLY_EVALUATES = MANIFEST.replace("rollouts: 90", "rollouts: 0").replace(
    "sort-digits", "sort-digits-eval"
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a manifest and what it names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text(MANIFEST)
    write_inputs(tmp_path)
    return tmp_path


@pytest.fixture
def run(here: Path) -> Path:
    """The directory of a run that has saved three checkpoints."""
    run_dir = write_run_dir(here / "kept")
    resolved = resolve(job(), here, run_dir)
    (run_dir / "job.json").write_text(resolved.model_dump_json(by_alias=True))
    for name in ("step-000010", "step-000020", "step-000030.partial", "step-000005.damaged"):
        (run_dir / "checkpoints" / name).mkdir(parents=True)
    return run_dir


@pytest.fixture
def rljob(here: Path, command: Command) -> Command:
    """Runs the command in that directory."""
    return command


def test_a_manifest_is_evaluated_beside_its_run(here: Path) -> None:
    found = prepare(Path("job.yaml"), None, None, None)
    assert found.directory.path == here / "runs" / "sort-digits-eval"
    spec = found.job.spec
    assert found.job.metadata.name == "sort-digits-eval"
    assert (spec.schedule.rollouts, spec.seed) == (0, 1)
    assert spec.model.checkpoint == str(here / "build" / "model")
    assert spec.evaluation[0].prompts == str(here / "build" / "held_out.jsonl")


def test_another_model_has_another_directory(here: Path) -> None:
    shutil.copytree(here / "build" / "model", here / "trained")
    found = prepare(Path("job.yaml"), "trained", None, 7)
    assert found.directory.path == here / "runs" / "sort-digits-eval-trained"
    assert (found.job.spec.model.checkpoint, found.job.spec.seed) == (str(here / "trained"), 7)


def test_a_long_name_stays_a_name(here: Path) -> None:
    manifest = here / "job.yaml"
    manifest.write_text(MANIFEST.replace("sort-digits", "a" * 34 + "-bcdef"))
    assert prepare(manifest, None, None, None).job.metadata.name == "a" * 34 + "-eval"


def test_a_run_is_evaluated_at_its_newest_checkpoint(run: Path) -> None:
    found = prepare(Path("kept"), None, None, None)
    assert found.subject.step == "step-000020"
    assert found.directory.path == run / "evaluations" / "step-000020"
    # The checkpoint is exported to there when the evaluation starts.
    assert found.job.spec.model.checkpoint == str(found.directory.path / "exported")


def test_a_run_is_evaluated_at_another_checkpoint(run: Path, here: Path) -> None:
    assert prepare(run, "step-000010", None, None).subject.step == "step-000010"
    found = prepare(run, "build/model", None, None)
    assert found.subject.step is None
    assert found.directory.path == run / "evaluations" / "model"
    assert found.job.spec.model.checkpoint == str(here / "build" / "model")
    assert prepare(run, None, Path("mine"), None).directory.path == here / "mine"


def test_a_checkpoint_that_is_not_there_is_named(run: Path) -> None:
    for name in ("step-000030", "step-000030.partial", str(run / "checkpoints" / "step-000020")):
        with pytest.raises(UsageError) as raised:
            prepare(run, name, None, None)
        said = f"--checkpoint: found {name}, allowed step-000010, step-000020, the directory of a"
        assert str(raised.value).startswith(said)


def test_a_run_without_a_checkpoint_says_so(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(UsageError, match="checkpoints: found no checkpoint, allowed a run that"):
        prepare(run, None, None, None)


def test_a_step_is_not_one_of_a_manifest(here: Path) -> None:
    with pytest.raises(UsageError, match="--checkpoint: found step-000020, allowed the directory"):
        prepare(here / "job.yaml", "step-000020", None, None)


def test_a_job_without_data_sets_is_refused(rljob: Command, here: Path) -> None:
    lines = MANIFEST.replace(", evalInterval: 30", "").splitlines()
    (here / "job.yaml").write_text("\n".join(lines[:-2]))
    code, _, err = rljob("eval", "job.yaml")
    assert code == 64
    assert "job.yaml: spec.evaluation: found no data set, allowed at least one" in err
    assert not (here / "runs").exists()


def test_what_is_missing_is_told_before_anything_is_started(rljob: Command, here: Path) -> None:
    (here / "build" / "held_out.jsonl").unlink()
    code, _, err = rljob("eval", "job.yaml")
    assert code == 64
    assert 'spec.evaluation[0].prompts: found "build/held_out.jsonl", allowed a file' in err
    assert not (here / "runs").exists()


def test_a_directory_without_a_run_is_named(rljob: Command) -> None:
    code, _, err = rljob("eval", "build")
    assert (code, err) == (64, "build: found no run (no job.json), allowed a run directory\n")


def test_a_checkpoint_that_can_not_be_exported_leaves_nothing(rljob: Command, run: Path) -> None:
    """It is empty, which the real export tells."""
    code, out, err = rljob("eval", "kept", "--checkpoint", "step-000010")
    assert code == 64
    assert "exporting step-000010" in out
    assert "found no whole checkpoint" in err
    assert not (run / "evaluations" / "step-000010" / "exported").exists()
    assert not (run / "lock").exists()


def finished(here: Path) -> Path:
    """The directory of an evaluation that has ended, with made-up scores."""
    evaluation = prepare(here / "job.yaml", None, None, None)
    directory = evaluation.directory.path
    directory.mkdir(parents=True)
    (directory / "job.json").write_text(evaluation.job.model_dump_json(by_alias=True))
    (directory / "summary.json").write_text('{"state": "succeeded", "rollouts": 0}')
    lines = (json.dumps({"rollout": 0, "length": 3.5, "truncated": 0, **one}) for one in SCORES)
    (directory / "evaluations.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return directory


def test_a_finished_evaluation_is_shown_and_not_repeated(rljob: Command, here: Path) -> None:
    directory = finished(here)
    code, out, _ = rljob("eval", "job.yaml")
    assert code == 0
    first, *table, last = out.splitlines()
    assert first == (
        f"{directory} holds a finished evaluation: nothing to do. To repeat it, remove that "
        "directory, or choose another with --run-dir."
    )
    assert last == f"{directory}/evaluations.jsonl"
    cells = [
        [cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")] for line in table
    ]
    assert ["data set", "reward", "pass@1", "pass@2", "length", "truncated"] in cells
    assert ["aime", "0.250 ±0.125", "0.250", "0.500", "3.5", "0.000"] in cells
    assert ["gsm8k", "0.500", "0.500", "-", "3.5", "0.000"] in cells


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("temperature: 0.0", "temperature: 1.0", "spec.evaluation"),
        ("seed: 1", "seed: 2", "spec.seed"),
    ],
)
def test_results_of_another_job_are_not_shown(
    rljob: Command, here: Path, old: str, new: str, field: str
) -> None:
    finished(here)
    (here / "job.yaml").write_text(MANIFEST.replace(old, new))
    code, out, err = rljob("eval", "job.yaml")
    assert (code, out) == (64, "")
    assert "start a new one with --run-dir" in err
    assert f"{field}: the run has" in err


def test_a_finished_evaluation_is_not_run_again(rljob: Command, here: Path) -> None:
    """`rljob run` of such a manifest: it has admitted no group, and is finished all the same."""
    directory = finished(here)
    (here / "job.yaml").write_text(ONLY_EVALUATES)
    code, out, _ = rljob("run", "job.yaml", "--run-dir", str(directory))
    assert code == 0
    assert "holds a finished run" in out


def test_a_finished_evaluation_is_as_fixed_as_a_run(rljob: Command, here: Path) -> None:
    directory = finished(here)
    (here / "job.yaml").write_text(ONLY_EVALUATES.replace("seed: 1", "seed: 2"))
    code, _, err = rljob("run", "job.yaml", "--run-dir", str(directory))
    assert code == 64
    assert "spec.seed: the run has 1, found 2" in err
