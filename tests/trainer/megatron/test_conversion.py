"""Weights exported from the model equal those loaded from the checkpoint, bit for bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from rljob.model_config import read_config
from rljob_trainer.megatron.conversion import Conversion
from rljob_trainer.megatron.gpt import build_chunks
from rljob_trainer.megatron.model import Model
from rljob_trainer.megatron.parallel import initialize
from rljob_trainer.models.checkpoint import Safetensors
from rljob_trainer.models.config_reader import ConfigReader
from rljob_trainer.models.qwen3 import QWEN3
from tests.trainer.megatron.cases import make_job, make_trajectories
from tests.trainer.megatron.policy import Policy
from tests.trainer.megatron.ranks import alone
from tests.trainer.models.tiny import make_checkpoint

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen3": ("qwen3", {}),
    "qwen3 tied, padded": ("qwen3", {"tie_word_embeddings": True, "vocab_size": 33}),
    "qwen2": ("qwen2", {}),
    "qwen3 moe": ("qwen3_moe", {}),
    "glm-4": ("glm4", {}),
    "glm-4.5": ("glm4_moe", {"use_qk_norm": True, "attention_bias": True}),
    "deepseek v3": ("deepseek_v3", {}),
    "moonlight": ("deepseek_v3", {"q_lora_rank": None, "n_shared_experts": 2}),
    "llama, padded": ("llama", {"vocab_size": 35}),
    "llama without grouped queries": ("llama", {"num_key_value_heads": 4}),
}


def exported(job: Any, checkpoint: Path) -> Any:
    model = Model(job, initialize(job), checkpoint)
    return {name: tensor.clone() for name, tensor in model.export()}


def trained_and_saved(job: Any, checkpoint: Path, directory: Path) -> Any:
    policy = Policy(job, initialize(job), checkpoint)
    policy.step(make_trajectories())
    policy.model.save_huggingface(directory)
    return policy.log_probs(make_trajectories())


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("case", CASES)
def test_round_trip_on_one_rank(case: str, tmp_path: Path) -> None:
    family, changes = CASES[case]
    checkpoint = make_checkpoint(tmp_path, family, **changes)
    found = alone(exported, make_job(checkpoint), checkpoint)
    assert_same(found, load_file(checkpoint / "model.safetensors"))


@pytest.mark.parametrize("case", CASES)
def test_round_trip_on_two_tensor_parallel_ranks(case: str, tmp_path: Path, two_ranks: Any) -> None:
    family, changes = CASES[case]
    checkpoint = make_checkpoint(tmp_path, family, **changes)
    parallelism = {"tensor": 2, "sequence": True}
    job = make_job(checkpoint, trainer={"gpusPerReplica": 2, "parallelism": parallelism})
    found, elsewhere = two_ranks.run(exported, job, checkpoint)
    assert_same(found, load_file(checkpoint / "model.safetensors"))
    assert elsewhere == {}  # what nobody needs there is not gathered there


@pytest.mark.parametrize("sizes", [{"pipeline": 2}, {"pipeline": 2, "virtualPipeline": 2}])
@pytest.mark.parametrize("case", CASES)
def test_round_trip_on_two_pipeline_stages(
    case: str, sizes: dict[str, int], tmp_path: Path, two_ranks: Any
) -> None:
    family, changes = CASES[case]
    checkpoint = make_checkpoint(tmp_path, family, num_hidden_layers=4, **changes)
    job = make_job(checkpoint, trainer={"gpusPerReplica": 2, "parallelism": sizes})
    found, elsewhere = two_ranks.run(exported, job, checkpoint)
    assert_same(found, load_file(checkpoint / "model.safetensors"))
    assert elsewhere == {}


def test_transformers_reads_what_is_saved(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "before")
    after = tmp_path / "after"
    found = alone(trained_and_saved, make_job(checkpoint), checkpoint, after)
    model = AutoModelForCausalLM.from_pretrained(after, dtype=torch.float32)
    for trajectory, of_policy in zip(make_trajectories(), found, strict=True):
        with torch.no_grad():
            logits = model(trajectory.tokens[None]).logits[0, :-1]
        of_tokens = logits.log_softmax(-1).gather(1, trajectory.tokens[1:, None])[:, 0]
        expected = of_tokens[trajectory.prompt_length - 1 :]
        torch.testing.assert_close(of_policy, expected, atol=1e-4, rtol=0)


def renamed_parameters(job: Any, checkpoint: Path) -> Any:
    """Exports from parameters named as Transformer Engine's layers, which need a GPU, name them."""
    parallel = initialize(job)
    fields = read_config(checkpoint)
    config = QWEN3.config(ConfigReader(fields, "config.json"))
    (model,) = build_chunks(QWEN3, config, job.spec.trainer, parallel, torch.float32)
    for layer in model.decoder.layers:
        layer.self_attention.linear_qkv.layer_norm_weight = layer.input_layernorm.weight
        layer.mlp.linear_fc1.layer_norm_weight = layer.pre_mlp_layernorm.weight
        del layer.input_layernorm, layer.pre_mlp_layernorm
    conversion = Conversion([model], QWEN3.table, config, parallel)
    conversion.load(Safetensors(checkpoint))
    return {name: tensor.clone() for name, tensor in conversion.export()}


def test_norms_fused_into_linear_layers_are_found(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path)
    found = alone(renamed_parameters, make_job(checkpoint), checkpoint)
    assert_same(found, load_file(checkpoint / "model.safetensors"))
