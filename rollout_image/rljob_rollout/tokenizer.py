"""Tokens back to text."""

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

        read_config(checkpoint)  # where there is none, transformers' own message misleads
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"spec.model.checkpoint: {checkpoint} has no usable tokenizer: {error}"
            ) from error

    @property
    def end_tokens(self) -> list[int]:
        """The end-of-sequence token, where there is one."""
        token = self._tokenizer.eos_token_id
        return [] if token is None else [token]

    def decode(self, responses: Sequence[Sequence[int]]) -> list[str]:
        """Their texts, without special tokens and otherwise as the tokens say."""
        texts: list[str] = self._tokenizer.batch_decode(
            responses, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return texts
