"""TensorBoard's files contain numbers, texts and settings."""

from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rljob.api import RLJob
from rljob_trainer.telemetry.tensorboard import TensorBoard
from tests.support.an_evaluation import an_evaluation
from tests.support.job import manifest

ROW = {"prompt": "4093>", "response": "a|b\n<script>`", "label": 3, "reward": 0.25}


def read(directory: Path) -> Any:
    found = EventAccumulator(str(directory))
    found.Reload()
    return found


def test_numbers_samples_and_settings(tmp_path: Path) -> None:
    job = RLJob.model_validate(manifest(tmp_path, trainer={"optimizer": {"lr": 0.001}}))
    board = TensorBoard(tmp_path / "tensorboard", job)
    for rollout in range(1, 12):
        board.batch(rollout, {"reward/mean": rollout / 10}, [ROW])
    board.close()
    found = read(tmp_path / "tensorboard")
    assert [event.value for event in found.Scalars("reward/mean")][:2] == [
        0.10000000149011612,  # TensorBoard keeps 32 bits
        0.20000000298023224,
    ]
    texts = found.Tensors("samples/text_summary")
    assert [event.step for event in texts] == [1, 10]
    table = texts[0].tensor_proto.string_val[0].decode()
    assert table.splitlines()[2] == "| 4093> | a&#124;b<br>&lt;script>&#96; | 3 | 0.25 |"
    plugins = found.summary_metadata
    assert {"_hparams_/experiment", "_hparams_/session_start_info"} <= plugins.keys()
    settings = plugins["_hparams_/session_start_info"].plugin_data.content
    assert b"trainer.optimizer.lr" in settings
    assert b"algorithm.samples_per_prompt" in settings


def test_the_numbers_of_an_evaluation(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path / "tensorboard", RLJob.model_validate(manifest(tmp_path)))
    board.evaluation(0, an_evaluation(0.25))
    board.evaluation(3, an_evaluation(0.5))
    board.close()
    found = read(tmp_path / "tensorboard")
    numbers = {
        tag.removeprefix("eval/held-out/"): [
            (event.step, event.value) for event in found.Scalars(tag)
        ]
        for tag in found.Tags()["scalars"]
        if tag.startswith("eval/")
    }
    assert numbers == {
        "reward": [(0, 0.25), (3, 0.5)],
        "margin": [(0, 0.125), (3, 0.125)],
        "pass@1": [(0, 0.25), (3, 0.5)],
        "pass@2": [(0, 0.75), (3, 0.75)],
        "majority@2": [(0, 0.375), (3, 0.375)],
        "length": [(0, 4.0), (3, 4.0)],
        "truncated": [(0, 0.25), (3, 0.25)],
    }


def test_nothing_is_written_before_the_first_number(tmp_path: Path) -> None:
    TensorBoard(tmp_path / "tensorboard", RLJob.model_validate(manifest(tmp_path))).close()
    assert not (tmp_path / "tensorboard").exists()
