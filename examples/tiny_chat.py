"""A tiny chat model for the examples: a tokenizer learned from their texts, and random weights."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

# In the manner of Qwen2.5: SGLang's parser of the name `qwen25` reads its tool calls.
TEMPLATE = """\
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.content %}{{- message.content }}{% endif %}
{%- for call in message.tool_calls or [] %}
{%- set function = call.function %}
{{- '<tool_call>\\n{"name": "' + function.name + '", "arguments": ' }}
{{- function.arguments if function.arguments is string else function.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}"""
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VOCABULARY = 512
LETTERS = [chr(code) for code in range(32, 127)]


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Writes a JSON Lines file."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def write_model(directory: Path, texts: Sequence[str], *, seed: int) -> None:
    """Writes a Qwen3 model of 0.5 million random weights, with a tokenizer learned from texts."""
    directory.mkdir(parents=True, exist_ok=True)
    _write_tokenizer(directory, texts)
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=SPECIAL.index("<|im_end|>"),
        pad_token_id=SPECIAL.index("<|endoftext|>"),
        rms_norm_eps=1e-6,
        initializer_range=0.05,
    )
    model = Qwen3ForCausalLM(config).float()
    # transformers zeroes the row of the padding token, but the gradient of the norm that follows
    # grows without bound near zero.
    torch.nn.init.normal_(model.model.embed_tokens.weight.data[0], std=0.05)
    model.save_pretrained(directory)
    for file in directory.iterdir():
        file.chmod(0o644)  # safetensors writes them for their owner only


def _write_tokenizer(directory: Path, texts: Sequence[str]) -> None:
    """Byte-pair encoding, with one token for each digit."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.decoder = decoders.Fuse()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 2,
        special_tokens=list(SPECIAL),
        initial_alphabet=[*LETTERS, "\n"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # Texts, not special: a response keeps them, and the parser of tool calls finds them.
    tokenizer.add_tokens([AddedToken(each) for each in ("<tool_call>", "</tool_call>")])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=TEMPLATE,
    ).save_pretrained(directory)
