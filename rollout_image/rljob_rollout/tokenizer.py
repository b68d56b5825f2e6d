"""Tokens back to text."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rljob.errors import UsageError
from rljob.model_config import read_config


class ResponseTokenizer:
    """The checkpoint's tokenizer, as far as responses need it."""

    def __init__(self, checkpoint: Path) -> None:
        """Loads it, which takes seconds.

        Raises:
            UsageError: the checkpoint has none, or is none.
        """
        from transformers import AutoTokenizer

        config = read_config(checkpoint)  # without one, transformers' own message misleads
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"spec.model.checkpoint: {checkpoint} has no usable tokenizer: {error}"
            ) from error
        self.end_tokens = _end_tokens(self._tokenizer.eos_token_id, config, checkpoint)

    def decode(self, responses: Sequence[Sequence[int]]) -> list[str]:
        """Their texts, without special tokens and otherwise as the tokens say."""
        texts: list[str] = self._tokenizer.batch_decode(
            responses, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return texts


def _end_tokens(tokenizer: int | None, config: dict[str, Any], checkpoint: Path) -> list[int]:
    """End-of-sequence tokens of the tokenizer, of config.json and of generation_config.json."""
    try:
        generation = json.loads((checkpoint / "generation_config.json").read_bytes())
    except (OSError, ValueError):
        generation = {}
    found: set[int] = set()
    for value in (tokenizer, config.get("eos_token_id"), generation.get("eos_token_id")):
        found.update(each for each in (value if isinstance(value, list) else [value]) if each)
    return sorted(found)
