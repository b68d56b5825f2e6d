"""A checkpoint's tokenizer and chat template, for the trainer and the rollout alike."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from rljob.errors import UsageError


class TemplateRefusedError(ValueError):
    """The chat template can't render these messages; with its own words."""


class Tokenizer:
    """Texts to tokens and back, exactly: nothing is cleaned up or added unless asked for."""

    def __init__(self, checkpoint: Path, load: Callable[[Path], Any]) -> None:
        """Loads the tokenizer, which takes seconds.

        Args:
            checkpoint: a Hugging Face directory.
            load: transformers' `AutoTokenizer.from_pretrained`, which only the roles have.

        Raises:
            UsageError: the checkpoint has no tokenizer.
        """
        try:
            self.inner = load(checkpoint)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"spec.model.checkpoint: {checkpoint} has no usable tokenizer: {error}"
            ) from error
        added = self.inner.added_tokens_decoder.items()
        self.special = {number for number, token in added if token.special}
        self.special.update(self.inner.all_special_ids)

    @property
    def has_chat_template(self) -> bool:
        """Whether messages can be rendered."""
        return bool(self.inner.chat_template)

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """The tokens of a text."""
        tokens: list[int] = self.inner.encode(text, add_special_tokens=add_special_tokens)
        return tokens

    def decode(self, tokens: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """The text of tokens; no blanks are added or removed, not even around special tokens."""
        text: str = self.inner.decode(
            tokens,
            skip_special_tokens=skip_special_tokens,
            clean_up_tokenization_spaces=False,
            spaces_between_special_tokens=False,
        )
        return text

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        arguments: Mapping[str, Any] | None = None,
        answered: bool = False,
    ) -> str:
        """The text of messages by the chat template, up to where the assistant begins to speak.

        Args:
            messages: in their common format.
            tools: JSON schemas of functions, in OpenAI's format.
            arguments: of the template, by name.
            answered: the last message is the assistant's; the text ends with it.

        Raises:
            TemplateRefusedError: the template can't render them.
        """
        try:
            text: str = self.inner.apply_chat_template(
                list(messages),
                tools=list(tools) if tools else None,
                tokenize=False,
                add_generation_prompt=not answered,
                **(arguments or {}),
            )
        # A template is a program by the model's authors and may fail in any way.
        except (TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise TemplateRefusedError(str(error) or type(error).__name__) from error
        return text
