"""The engine's arguments follow from the job."""

import json
from pathlib import Path

import pytest

from rljob_rollout.engine_arguments import engine_arguments
from tests.rollout.spec import spec_of


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 1024}))
    return tmp_path


def test_a_gpu_engine(checkpoint: Path) -> None:
    spec = spec_of(checkpoint, rollout__gpusPerReplica=4)
    arguments = engine_arguments(spec, replica=0, gpu=True)
    assert arguments["dtype"] == "bfloat16"
    assert arguments["tp_size"] == 4
    assert "device" not in arguments


def test_a_cpu_engine(checkpoint: Path) -> None:
    arguments = engine_arguments(
        spec_of(checkpoint, rollout__gpusPerReplica=4), replica=0, gpu=False
    )
    assert arguments["dtype"] == "float32"
    assert arguments["tp_size"] == 1
    assert arguments["device"] == "cpu"
    assert arguments["attention_backend"] == "torch_native"
    assert arguments["max_total_tokens"] == 16384


def test_the_number_format_of_the_job_goes_for_both(checkpoint: Path) -> None:
    spec = spec_of(checkpoint, model__dtype="bfloat16")
    assert engine_arguments(spec, replica=0, gpu=False)["dtype"] == "bfloat16"


def test_what_is_passed_through_comes_before_our_defaults(checkpoint: Path) -> None:
    spec = spec_of(checkpoint, rollout__sglang={"max_total_tokens": 99, "log_level": "error"})
    arguments = engine_arguments(spec, replica=0, gpu=False)
    assert (arguments["max_total_tokens"], arguments["log_level"]) == (99, "error")


def test_the_context_is_that_of_the_longest_request(checkpoint: Path) -> None:
    evaluation = [{"name": "e", "prompts": "x", "sampling": {"maxResponseTokens": 500}}]
    spec = spec_of(checkpoint, data__maxPromptTokens=100, evaluation=evaluation)
    assert engine_arguments(spec, replica=0, gpu=True)["context_length"] == 608


@pytest.mark.parametrize("config", ['{"max_position_embeddings": 16}', "{}", "no JSON"])
def test_the_context_is_left_to_the_model_where_it_is_smaller_or_not_told(
    checkpoint: Path, config: str
) -> None:
    (checkpoint / "config.json").write_text(config)
    spec = spec_of(checkpoint, data__maxPromptTokens=100)
    assert "context_length" not in engine_arguments(spec, replica=0, gpu=True)


def test_engines_do_not_draw_the_same(checkpoint: Path) -> None:
    seeds = {
        engine_arguments(spec_of(checkpoint, seed=seed), replica=n, gpu=True)["random_seed"]
        for seed in (1, 2, 2**31 - 1)
        for n in range(4)
    }
    assert len(seeds) == 12
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_the_engine_reads_texts_only_to_find_stop_texts(checkpoint: Path) -> None:
    for stop, skipped in ((["\n"], False), ([], True)):
        spec = spec_of(checkpoint, rollout__sampling__stop=stop)
        assert engine_arguments(spec, replica=0, gpu=True)["skip_tokenizer_init"] is skipped
        sampling = {"stop": stop}
        evaluation = [{"name": "e", "prompts": "x", "sampling": sampling}]
        spec = spec_of(checkpoint, evaluation=evaluation)
        assert engine_arguments(spec, replica=0, gpu=True)["skip_tokenizer_init"] is skipped


@pytest.mark.parametrize(("mode", "disabled"), [("in_place", True), ("retract", False)])
def test_no_prefix_is_shared_where_old_caches_stay(
    checkpoint: Path, mode: str, disabled: bool
) -> None:
    spec = spec_of(checkpoint, weights__pauseMode=mode)
    assert engine_arguments(spec, replica=0, gpu=True)["disable_radix_cache"] is disabled
