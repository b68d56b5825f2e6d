"""The user's mistakes end a run with exit code 64 and a message that names the cause."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.job import Run

pytestmark = pytest.mark.timeout(300)


def bad_line(directory: Path) -> dict[str, Any]:
    path = directory / "bad.jsonl"
    path.write_text('{"prompt": "1>", "label": "1"}\n{"prompt": "2>"\n')
    return {"data__prompts": [str(path)]}


def no_weights(directory: Path) -> dict[str, Any]:
    model = directory / "empty-model"
    model.mkdir()
    return {"model__checkpoint": str(model)}


def unknown_architecture(directory: Path) -> dict[str, Any]:
    model = directory / "mamba"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"architectures": ["MambaForCausalLM"]}))
    return {"model__checkpoint": str(model)}


def missing_hook(_directory: Path) -> dict[str, Any]:
    return {"rollout__reward": {"type": "no_such_module:reward"}}


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (bad_line, "bad.jsonl:2: found invalid JSON"),
        (no_weights, "empty-model: no config.json"),
        (unknown_architecture, "MambaForCausalLM"),
        (missing_hook, '"no_such_module:reward", allowed a module that exists'),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_mistake_ends_the_run_with_its_reason(
    mistake: Callable[[Path], dict[str, Any]],
    message: str,
    new_run: Callable[..., Run],
    tmp_path: Path,
) -> None:
    run = new_run("mistaken", **mistake(tmp_path))
    assert run.run() == 64, run.text()
    assert message in run.text()
    assert "Traceback" not in run.text()
