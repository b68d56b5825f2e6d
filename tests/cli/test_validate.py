"""`rljob validate` as a command."""

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


def run(*files: Path) -> tuple[int, list[str]]:
    app = typer.Typer()
    app.command()(validate)
    result = CliRunner().invoke(app, [str(file) for file in files])
    return result.exit_code, result.output.splitlines()


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
    bad.write_text(GOOD.replace("300", "0, globalBatchSize: 100"))
    code, lines = run(bad, missing, good)
    assert code == 64
    assert lines == [
        f"{bad}:7:14: spec.schedule.rollouts: found 0, allowed a whole number of at least 1",
        f"{bad}:7:27: spec.schedule.globalBatchSize: found 100, allowed 128 "
        "(= rolloutBatchSize 16 x samplesPerPrompt 8 / stepsPerRollout 1)",
        f"{missing}: cannot be read: No such file or directory",
        f"{good}: ok (RLJob team/math)",
    ]
