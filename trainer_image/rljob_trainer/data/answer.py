"""Turns a label into an answer to be learned."""

from typing import Any

from rljob.errors import UsageError
from rljob_trainer.data.source import Answer, LongPrompt, Prompt
from rljob_trainer.data.tokenizer import PromptTokenizer

_LIMIT = "spec.rollout.sampling.maxResponseTokens"


class Answers:
    """Checks labels, and tokenizes them as what the model is to say after the prompt."""

    def __init__(self, tokenizer: PromptTokenizer, *, longest: int, skip_long: bool) -> None:
        """
        Args:
            tokenizer: the model's.
            longest: tokens that an answer may have at most.
            skip_long: whether a longer one is left out; otherwise it is an error.
        """
        self._tokenizer = tokenizer
        self._longest = longest
        self._skip_long = skip_long

    def check(self, label: Any, where: str) -> None:
        """Raises UsageError, beginning with `where`, for a label that is no text or is empty."""
        if not isinstance(label, str):
            raise UsageError(
                f"{where}: estimator sft: the label is {label!r:.200}, a {type(label).__name__}; "
                "allowed: a text, the answer to be learned"
            )
        if not label:
            raise UsageError(
                f"{where}: estimator sft: the label is an empty text; allowed: the answer to be "
                "learned"
            )

    def encode(self, given: Any, prompt: Prompt, where: str) -> Answer | LongPrompt:
        """The answer to a prompt, with the tokens that end it.

        Args:
            given: the prompt as the user wrote it.
            prompt: the same, encoded, with a label that was checked.
            where: file and line, for errors.

        Raises:
            UsageError: it is longer than the job allows, or the chat template can't write it.
        """
        text, tokens = self._tokenizer.encode_answer(given, prompt.text, prompt.label, where)
        if len(tokens) <= self._longest:
            return Answer(text, tokens)
        if self._skip_long:
            return LongPrompt(where, len(tokens), self._longest, _LIMIT, "answer")
        raise UsageError(
            f"{where}: the answer has {len(tokens)} tokens with its end; allowed: {self._longest} "
            f"({_LIMIT}; or set spec.data.skipLongPrompts)"
        )
