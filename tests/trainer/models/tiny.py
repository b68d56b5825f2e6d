"""Hugging Face checkpoints of a few thousand parameters, created by transformers."""

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

# Llama 3.1's kind of scaling, with a first context so short that all three ranges of it matter.
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
_FAMILIES = {"qwen3": (Qwen3Config, Qwen3ForCausalLM), "llama": (LlamaConfig, LlamaForCausalLM)}


def make_checkpoint(directory: Path, family: str = "qwen3", seed: int = 0, **changes: Any) -> Path:
    """Writes a checkpoint of random weights; `changes` are fields of its config."""
    config_class, model_class = _FAMILIES[family]
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
    model = model_class(config_class(**fields | changes)).float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):  # ones would hide a norm that is not loaded
                parameter.uniform_(0.5, 1.5)
    model.save_pretrained(directory)
    return directory
