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
from rljob_trainer.models.rotary import Llama3Scaling

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
