"""Makes the inputs of the sorting task: prompts, a character tokenizer, a tiny random model."""

import argparse
import json
import random
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

CHARACTERS = "~^|0123456789+=>,:abcdefghijklm"  # ~ pads, ^ ends
VOCABULARY = 32
HELD_OUT = 200
SPLIT_SEED = 1234  # the same prompts are held out, whatever the seed of the model


def write_prompts(directory: Path) -> None:
    """Writes all 10,000 strings of four digits: `4093>` is to be answered by `0349`."""
    numbers = [f"{n:04d}" for n in range(10_000)]
    random.Random(SPLIT_SEED).shuffle(numbers)
    for name, chosen in (("held_out", numbers[:HELD_OUT]), ("train", numbers[HELD_OUT:])):
        lines = (json.dumps({"prompt": f"{n}>", "label": "".join(sorted(n))}) for n in chosen)
        (directory / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def write_tokenizer(directory: Path) -> None:
    """Writes a tokenizer with one token per character."""
    vocabulary = {character: n for n, character in enumerate(CHARACTERS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="~"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="~", eos_token="^", unk_token="~"
    ).save_pretrained(directory)


def write_model(directory: Path, seed: int) -> None:
    """Writes a small Qwen3 model with random weights."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=16,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
        rms_norm_eps=1e-6,
        initializer_range=0.1,
    )
    model = Qwen3ForCausalLM(config).float()
    # transformers zeroes the row of the padding token, but the gradient of the norm that follows
    # grows without bound near zero.
    torch.nn.init.normal_(model.model.embed_tokens.weight.data[0], std=0.1)
    model.save_pretrained(directory)


def main() -> None:
    """Writes everything to `build/` beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="seed of the model's weights")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "build")
    arguments = parser.parse_args()
    model = arguments.out / "model"
    model.mkdir(parents=True, exist_ok=True)
    write_prompts(arguments.out)
    write_tokenizer(model)
    write_model(model, arguments.seed)
    for file in model.iterdir():
        file.chmod(0o644)  # safetensors writes them for their owner only


if __name__ == "__main__":
    main()
