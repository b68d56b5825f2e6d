"""Prompts to tokens."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import AutoTokenizer

from rljob.errors import UsageError


class PromptTokenizer:
    """The checkpoint's tokenizer, with its chat template where the job asks for it.

    Raises:
        UsageError: the checkpoint has no tokenizer, or no chat template although one is wanted.
    """

    def __init__(self, checkpoint: Path, *, chat: bool) -> None:
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"spec.model.checkpoint: {checkpoint} has no usable tokenizer: {error}"
            ) from error
        self._chat = chat
        if chat and not self._tokenizer.chat_template:
            raise UsageError(
                "spec.data.applyChatTemplate: found true, but the tokenizer in "
                f"{checkpoint} has no chat template; allowed: false"
            )

    def encode(self, prompt: Any, where: str) -> tuple[str, npt.NDArray[np.int32]]:
        """The text that the model sees, and its tokens [prompt].

        Args:
            prompt: a string, or with a chat template also a list of messages.
            where: file and line, for errors.
        """
        if self._chat:
            messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
            if not isinstance(messages, list):
                raise UsageError(
                    f"{where}: the prompt is a {type(prompt).__name__}; allowed: a string or a "
                    "list of messages"
                )
            text = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        elif isinstance(prompt, str):
            text = prompt
        else:
            raise UsageError(
                f"{where}: the prompt is a {type(prompt).__name__}; allowed: a string (messages "
                "need spec.data.applyChatTemplate)"
            )
        # A chat template writes the special tokens itself.
        tokens = self._tokenizer.encode(text, add_special_tokens=not self._chat)
        if not tokens:
            raise UsageError(f"{where}: the prompt is empty; allowed: at least one token")
        return text, np.asarray(tokens, dtype=np.int32)
