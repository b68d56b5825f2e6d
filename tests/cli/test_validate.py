"""`rljob validate` as a command."""

import json
from pathlib import Path

import typer
from typer.testing import CliRunner

from rljob.cli.validate import validate

GOOD = """\
apiVersion: rljob.dev/v1alpha1
kind: RLJob
metadata: {name: math, namespace: team}
spec:
  model: {checkpoint: /models/Qwen3-4B}
  data: {prompts: [/data/train.jsonl]}
  schedule: {rollouts: 300}
"""


def run(*arguments: Path | str) -> tuple[int, list[str]]:
    app = typer.Typer()
    app.command()(validate)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output.splitlines()


def written(directory: Path, **changes: str) -> Path:
    """The good manifest with fields of its spec added, or instead of its own."""
    file = directory / "job.yaml"
    kept = [line for line in GOOD.splitlines() if line.strip().split(":")[0] not in changes]
    added = [f"  {name}: {value}" for name, value in changes.items()]
    file.write_text("\n".join([*kept, *added, ""]))
    return file


def test_good(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(GOOD)
    assert run(file) == (0, [f"{file}: ok (RLJob team/math)"])


def test_a_warning_is_told_and_refuses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(GOOD.replace("300", "300, maxStaleness: 2"))
    code, (warning, verdict) = run(file)
    assert (code, verdict) == (0, f"{file}: ok (RLJob team/math)")
    assert warning.startswith(f"{file}:7:29: spec.schedule.maxStaleness: warning: found 2: ")


def test_every_problem_of_every_file(tmp_path: Path) -> None:
    good, bad, missing = (tmp_path / name for name in ("good.yaml", "bad.yaml", "missing.yaml"))
    good.write_text(GOOD)
    bad.write_text(GOOD.replace("300", "-1, globalBatchSize: 100"))
    code, lines = run(bad, missing, good)
    assert code == 64
    assert lines == [
        f"{bad}:7:14: spec.schedule.rollouts: found -1, allowed a whole number of at least 0",
        f"{bad}:7:28: spec.schedule.globalBatchSize: found 100, allowed 128 "
        "(= rolloutBatchSize 16 x samplesPerPrompt 8 / stepsPerRollout 1)",
        f"{missing}: cannot be read: No such file or directory",
        f"{good}: ok (RLJob team/math)",
    ]


def test_what_is_not_supported_is_told_with_its_place(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        schedule="{rollouts: 300, overSamplingBatchSize: 64}",
        algorithm="{filter: nonzero-std}",
    )
    said = (
        f"{file}:7:29: spec.schedule.overSamplingBatchSize: found 64, allowed 16, rolloutBatchSize "
        "(not supported yet)"
    )
    assert run(file) == (64, [said])


def test_what_only_kubernetes_can_do_is_a_problem_of_a_local_run_alone(tmp_path: Path) -> None:
    file = written(tmp_path, suspend="true")
    said = "found true, allowed false (not supported by `rljob run`)"
    ok = f"{file}: ok (RLJob team/math)"
    assert run(file) == (0, [f"{file}:8:3: spec.suspend: warning: {said}", ok])
    assert run(file, "--target", "local") == (64, [f"{file}:8:3: spec.suspend: {said}"])
    assert run(file, "--target", "kubernetes") == (0, [ok])


def test_what_only_a_local_run_can_do_is_a_problem_of_kubernetes_alone(tmp_path: Path) -> None:
    file = written(tmp_path, device="cpu", weights="{transport: ipc}")
    code, (said, _) = run(file)
    assert code == 0
    assert 'spec.weights.transport: warning: found "ipc", allowed broadcast or disk (' in said
    assert run(file, "--target", "local")[0] == 0
    assert run(file, "--target", "kubernetes")[0] == 64


def test_files_and_modules_that_are_missing(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        model="{checkpoint: model}",
        data="{prompts: [train.jsonl], source: 'shop.prompts:Source'}",
        evaluation="[{name: a, prompts: held_out.jsonl, reward: {type: 'os.path:join'}}]",
        rollout="{reward: {type: 'judge:reward'}}",
    )
    code, lines = run(file)
    assert code == 64
    assert [line.split(": ")[1] for line in lines] == [
        "spec.model.checkpoint",
        "spec.data.source",
        "spec.evaluation[0].prompts",
        "spec.rollout.reward.type",
    ]
    assert lines[3].startswith(
        f'{file}:9:22: spec.rollout.reward.type: found "judge:reward", allowed a module that exists'
    )
    assert run(file, "--no-files")[0] == 0
    assert run(file, "--target", "kubernetes")[0] == 0

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "held_out.jsonl").touch()
    (tmp_path / "shop").mkdir()
    for module in ("judge.py", "shop/prompts.py"):  # which are not run
        (tmp_path / module).write_text("raise RuntimeError")
    assert run(file) == (0, [f"{file}: ok (RLJob team/math)"])


def test_paths_of_another_machine_are_looked_at_only_when_asked(tmp_path: Path) -> None:
    file = written(tmp_path)
    assert run(file)[0] == 0
    code, lines = run(file, "--files")
    assert code == 64
    assert lines[0].startswith(f"{file}:5:11: spec.model.checkpoint: model checkpoint /models/")
    assert 'spec.data.prompts[0]: found "/data/train.jsonl", allowed a file' in lines[1]


def test_json(tmp_path: Path) -> None:
    file = written(tmp_path, suspend="1", algorithm="{estimator: 3}")
    code, lines = run(file, "--output", "json")
    assert code == 64
    (told,) = json.loads("\n".join(lines))
    assert told["file"] == str(file)
    assert told["jobs"] == told["warnings"] == []
    assert told["problems"][0] == {
        "line": 8,
        "column": 3,
        "field": "spec.suspend",
        "message": "found 1, allowed true or false",
    }
    assert len(told["problems"]) == 2
