"""Decodes tokens to text."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rljob.buffer.records import Response
from rljob.errors import UsageError
from rljob.model_config import read_config


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
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"spec.model.checkpoint: {checkpoint} has no usable tokenizer: {error}"
            ) from error
        self.end_tokens = _end_tokens(self._tokenizer.eos_token_id, config, checkpoint)
        added = self._tokenizer.added_tokens_decoder.items()
        self._special = {number for number, token in added if token.special}
        self._special.update(self._tokenizer.all_special_ids)

    def decode(self, response: Response) -> ResponseText:
        """The text of a response, exactly as its tokens say, apart from the ending token."""
        tokens: list[int] = response.segment.tokens.tolist()
        if response.finish == "stop" and tokens and tokens[-1] in self._special:
            tokens.pop()
        whole = self._text(tokens, skip_special_tokens=False)
        if self._special.isdisjoint(tokens):
            return ResponseText(whole, whole)
        return ResponseText(whole, self._text(tokens, skip_special_tokens=True))

    def _text(self, tokens: list[int], *, skip_special_tokens: bool) -> str:
        text: str = self._tokenizer.decode(
            tokens,
            skip_special_tokens=skip_special_tokens,
            # Add and remove no blanks, not even around special tokens.
            clean_up_tokenization_spaces=False,
            spaces_between_special_tokens=False,
        )
        return text


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
