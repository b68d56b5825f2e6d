"""config.json: which fields are read, and which are refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest

from rljob.errors import UsageError
from rljob.model_config import read_config
from rljob_trainer.models.config import ModelConfig
from rljob_trainer.models.config_reader import ConfigReader
from rljob_trainer.models.registry import architecture_of
from rljob_trainer.models.rotary import Llama3Scaling, YarnScaling

FIELDS: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 33,
    "max_position_embeddings": 128,
}
LLAMA3 = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def read(**changes: Any) -> ModelConfig:
    fields = FIELDS | changes
    return architecture_of(fields, "here").config(ConfigReader(fields, "here"))


def test_defaults_are_the_family_s() -> None:
    llama, qwen3 = read(), read(architectures=["Qwen3ForCausalLM"])
    assert (llama.head_dim, qwen3.head_dim) == (16, 128)
    assert llama.groups == 4
    assert llama.norm_epsilon == 1e-6
    assert (llama.rope_base, llama.rope_scaling, llama.tied) == (10000.0, None, False)


def test_rope_is_read_in_transformers_present_and_older_form() -> None:
    scaling = Llama3Scaling(8.0, 1.0, 4.0, 8192)
    present = read(rope_parameters={"rope_type": "llama3", "rope_theta": 5e5, **LLAMA3})
    older = read(rope_theta=5e5, rope_scaling={"type": "llama3", **LLAMA3})
    assert present == older
    assert (older.rope_base, older.rope_scaling) == (5e5, scaling)


def test_both_forms_of_rope_may_say_the_same() -> None:
    both = {
        "rope_theta": 5e5,
        "rope_scaling": {"type": "llama3", **LLAMA3},
        "rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, **LLAMA3},
    }
    assert read(**both) == read(rope_parameters=both["rope_parameters"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, r"architectures: found \['GPT2LMHeadModel'\], al"),
        ({"architectures": None}, "one of .*LlamaForCausalLM, Qwen2ForCausalLM"),
        ({"hidden_size": None}, "hidden_size: missing"),
        ({"vocab_size": "many"}, "vocab_size: found 'many', allowed: a whole number above 0"),
        ({"num_key_value_heads": 3}, "num_key_value_heads: found 3, allowed: a divisor of the 4"),
        ({"hidden_act": "gelu"}, "hidden_act: found 'gelu', allowed: 'silu'"),
        ({"attention_bias": True}, "attention_bias: found True, allowed: False"),
        ({"rms_norm_eps": -1}, "rms_norm_eps: found -1, allowed: a number above 0"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings: found 'yes', allowed: true or f"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"rope_scaling": {"type": "yarn"}}, "rope_type: found 'yarn', allowed: default, llama3"),
        ({"rope_scaling": {"type": "llama3"}}, "rope_scaling: factor: missing"),
        ({"rope_scaling": 8}, "rope_scaling: found 8, allowed: an object"),
        (
            {"rope_scaling": {"type": "llama3", **LLAMA3}, "rope_parameters": {"rope_theta": 1e4}},
            "rope_scaling: found .*'llama3'.* allowed: what rope_parameters says",
        ),
        (
            {"rope_theta": 1e4, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
            "rope_parameters: rope_theta: found 500000.0, allowed: config.json's own rope_theta",
        ),
        (
            {"rope_scaling": {"rope_type": "default", "type": "llama3"}},
            "rope_scaling: type: found 'llama3', allowed: that of rope_type, 'default'",
        ),
        (
            {"model_type": "qwen3"},
            "model_type: found 'qwen3', allowed: 'llama', as architectures has LlamaForCausalLM",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(**changes)


EXPERTS: dict[str, Any] = {
    "moe_intermediate_size": 32,
    "num_experts_per_tok": 4,
    "num_experts": 8,
    "n_routed_experts": 8,
    "norm_topk_prob": True,
}
LATENT = {"kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16}
YARN = {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096}


def read_family(name: str, **changes: Any) -> ModelConfig:
    return read(architectures=[f"{name}ForCausalLM"], **EXPERTS | LATENT | changes)


def test_layers_with_experts_are_those_of_config_json() -> None:
    def layers(name: str, **changes: Any) -> tuple[bool, ...]:
        experts = read_family(name, num_hidden_layers=4, **changes).experts
        assert experts
        return experts.layers

    assert layers("Qwen3Moe") == (True, True, True, True)
    assert layers("Qwen3Moe", decoder_sparse_step=2) == (False, True, False, True)
    assert layers("Qwen3Moe", mlp_only_layers=[1]) == (True, False, True, True)
    assert layers("Glm4Moe", first_k_dense_replace=0) == (True, True, True, True)
    assert layers("DeepseekV3", first_k_dense_replace=2) == (False, False, True, True)


def test_a_part_of_a_head_is_rotated_in_glm() -> None:
    assert read(architectures=["Glm4ForCausalLM"]).rotary_percent == 0.5
    present = {"rope_type": "default", "partial_rotary_factor": 0.25}
    assert read_family("Glm4Moe", rope_parameters=present).rotary_percent == 0.25
    assert read_family("Glm4Moe", partial_rotary_factor=0.75).rotary_percent == 0.75


def test_kimi_k2_is_read_as_deepseek_v3() -> None:
    rope = {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0, "beta_fast": 1.0}
    config = read_family("DeepseekV3", model_type="kimi_k2", rope_scaling=rope)
    assert config.rope_scaling == YarnScaling(40.0, 4096, 1.0, 1.0, 1.0, 1.0)
    assert config.head_dim == 24


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("Llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor: found 0.5, allowed: 1.0"),
        ("Glm4", {"partial_rotary_factor": 2}, "partial_rotary_factor: found 2, allowed: a number"),
        ("Glm4", {"attention_bias": "no"}, "attention_bias: found 'no', allowed: true or false"),
        ("Glm4", {"rope_scaling": YARN}, "rope_type: found 'yarn', allowed: default"),
        ("Qwen2", {"use_sliding_window": True}, "use_sliding_window: found True, allowed: False"),
        ("Qwen3Moe", {"num_experts_per_tok": 1}, "num_experts_per_tok: found 1, allowed: 2 to the"),
        ("Qwen3Moe", {"mlp_only_layers": 1}, "mlp_only_layers: found 1, allowed: a list of layer"),
        ("Qwen3Moe", {"model_type": "qwen3"}, "model_type: found 'qwen3', allowed: 'qwen3_moe'"),
        ("Glm4Moe", {"norm_topk_prob": False}, "norm_topk_prob: found False, allowed: True"),
        ("Glm4Moe", {"scoring_func": "softmax"}, "scoring_func: found 'softmax', allowed: 'sigm"),
        ("Glm4Moe", {"n_group": 3}, "n_group: found 3, allowed: a divisor of the 8 experts"),
        ("Glm4Moe", {"topk_group": 2}, "topk_group: found 2, allowed: at most the 1 groups"),
        (
            "DeepseekV3",
            {"n_group": 4, "topk_group": 1},
            "num_experts_per_tok: found 4, allowed: twice the 1 of topk_group",
        ),
        ("DeepseekV3", {"rope_interleave": False}, "rope_interleave: found False, allowed: True"),
        ("DeepseekV3", {"kv_lora_rank": None}, "kv_lora_rank: missing"),
        ("DeepseekV3", {"model_type": "llama"}, "allowed: 'deepseek_v3' or 'kimi_k2', as archit"),
        (
            "DeepseekV3",
            {"rope_scaling": {**YARN, "mscale_all_dim": 1.0}},
            "rope_scaling: mscale: found None, allowed: a number above 0, as for mscale_all_dim",
        ),
        ("DeepseekV3", {"num_nextn_predict_layers": -1}, "num_nextn_predict_layers: found -1"),
    ],
)
def test_what_a_family_cannot_compute_is_refused(
    name: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read_family(name, **changes)


def test_the_manifest_changes_fields(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(FIELDS))
    assert read_config(tmp_path, {"vocab_size": 40})["vocab_size"] == 40


def test_unreadable_directories_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere: no such directory"):
        read_config(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"no config\.json"):
        read_config(tmp_path)
    for text, message in (("{", "not readable as JSON"), ("[]", "a JSON object is expected")):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(UsageError, match=message):
            read_config(tmp_path)
