"""Decodes tokens to text."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rljob.buffer.records import Response
from rljob.model_config import read_config
from rljob.tokenizer import Tokenizer


@dataclass(frozen=True)
class ResponseText:
    """The text of a response.

    Args:
        whole: with special tokens, except the one that ended the response.
        plain: without any special tokens.
    """

    whole: str
    plain: str


class ResponseTokenizer:
    """The checkpoint's tokenizer, as far as decoding responses needs it."""

    def __init__(self, checkpoint: Path) -> None:
        """Loads the tokenizer, which takes seconds.

        Raises:
            UsageError: the checkpoint has no tokenizer, or is not a checkpoint.
        """
        from transformers import AutoTokenizer

        config = read_config(checkpoint)  # without it, transformers' own error is misleading
        self.tokenizer = Tokenizer(checkpoint, AutoTokenizer.from_pretrained)
        eos = self.tokenizer.inner.eos_token_id
        self.end_tokens = _end_tokens(eos, config, checkpoint)

    def decode(self, response: Response) -> ResponseText:
        """The text of a response, exactly as its tokens say, apart from the ending token."""
        return self.text(response.segment.tokens.tolist(), ended=response.finish == "stop")

    def text(self, tokens: Sequence[int], *, ended: bool) -> ResponseText:
        """The text of tokens; `ended`: without a special token at the end, which ended them."""
        special, decode = self.tokenizer.special, self.tokenizer.decode
        if ended and tokens and tokens[-1] in special:
            tokens = tokens[:-1]
        whole = decode(tokens)
        if special.isdisjoint(tokens):
            return ResponseText(whole, whole)
        return ResponseText(whole, decode(tokens, skip_special_tokens=True))


def _end_tokens(tokenizer: int | None, config: dict[str, Any], checkpoint: Path) -> list[int]:
    """End-of-sequence tokens of the tokenizer, of config.json and of generation_config.json."""
    try:
        generation = json.loads((checkpoint / "generation_config.json").read_bytes())
    except (OSError, ValueError):
        generation = {}
    found: set[int] = set()
    for value in (tokenizer, config.get("eos_token_id"), generation.get("eos_token_id")):
        values = value if isinstance(value, list) else [value]
        found.update(each for each in values if isinstance(each, int))
    return sorted(found)
