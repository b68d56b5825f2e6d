"""A tensor that is never sent stops the run before its first batch."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.job import EXAMPLE, Run

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

# The user's filter, which the trainer imports: the way in for a fault in its conversion.
FORGETFUL = """
from rljob_trainer.megatron.conversion import Conversion

export = Conversion.export


def without_one(self):
    for name, tensor in export(self):
        if name != "model.layers.1.mlp.down_proj.weight":
            yield name, tensor


Conversion.export = without_one


def keep(samples):
    return True
"""


def test_a_tensor_that_is_never_sent_stops_the_run(
    new_run: Callable[..., Run], tmp_path: Path
) -> None:
    """The engine has started with random weights; those of the checkpoint would hide it."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "forgetful.py").write_text(FORGETFUL)
    (code / "reward.py").write_text((EXAMPLE / "reward.py").read_text())
    run = new_run("forgetful", code={"directory": str(code)}, algorithm__filter="forgetful:keep")
    assert run.run() == 1, run.text()
    assert "over a fixed sequence after the update to version 0 (rollout-0/" in run.text()
    assert "do not hold the same model" in run.text()
    assert run.trained() == 0
