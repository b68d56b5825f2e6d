"""Hugging Face checkpoints of a few thousand parameters, created by transformers."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    Glm4Config,
    Glm4ForCausalLM,
    Glm4MoeConfig,
    Glm4MoeForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

# Llama 3.1's kind of scaling, with a first context so short that all three ranges of it matter.
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
# DeepSeek V3's kind, with a first context so short that slow and fast frequencies differ.
YARN_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 40.0,
    "beta_fast": 4.0,
    "beta_slow": 1.0,
    "mscale": 0.7,
    "mscale_all_dim": 1.0,
    "original_max_position_embeddings": 64,
}
_EXPERTS = {
    "num_hidden_layers": 3,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
}
# As DeepSeek V3 and what follows it: a first layer without experts, a shared expert.
_SIGMOID = {
    **_EXPERTS,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
    "norm_topk_prob": True,
    "routed_scaling_factor": 2.5,
    "num_nextn_predict_layers": 0,
}
FAMILIES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "deepseek_v3": (
        DeepseekV3Config,
        DeepseekV3ForCausalLM,
        {
            **_SIGMOID,
            "num_key_value_heads": 4,
            "q_lora_rank": 24,
            "kv_lora_rank": 32,
            "qk_nope_head_dim": 16,
            "qk_rope_head_dim": 8,
            "v_head_dim": 12,
            "head_dim": 8,  # transformers' name for the rotated dimensions
        },
    ),
    "glm4": (Glm4Config, Glm4ForCausalLM, {}),
    "glm4_moe": (Glm4MoeConfig, Glm4MoeForCausalLM, _SIGMOID),
    "llama": (LlamaConfig, LlamaForCausalLM, {}),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, {}),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {}),
    "qwen3_moe": (
        Qwen3MoeConfig,
        Qwen3MoeForCausalLM,
        {**_EXPERTS, "num_experts": 6, "norm_topk_prob": True, "mlp_only_layers": [0]},
    ),
}


def make_checkpoint(directory: Path, family: str = "qwen3", seed: int = 0, **changes: Any) -> Path:
    """Writes a checkpoint of random weights; `changes` are fields of its config."""
    config_class, model_class, own = FAMILIES[family]
    fields = {
        "vocab_size": 32,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 128,
        "tie_word_embeddings": False,
        "initializer_range": 0.1,
        "bos_token_id": None,
        "eos_token_id": 1,
        "pad_token_id": None,
    }
    torch.manual_seed(seed)
    model = model_class(config_class(**fields | own | changes)).float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):  # ones would hide a norm that is not loaded
                parameter.uniform_(0.5, 1.5)
            elif name.endswith("bias"):  # zeros would hide a bias
                parameter.uniform_(-0.5, 0.5)
        for name, buffer in model.named_buffers():
            if name.endswith("bias"):  # of a router
                buffer.uniform_(-0.5, 0.5)
    model.save_pretrained(directory)
    return directory
