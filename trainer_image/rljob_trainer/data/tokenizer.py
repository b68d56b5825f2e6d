"""Tokenizes prompts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import AutoTokenizer

from rljob.errors import UsageError
from rljob.model_config import read_config
from rljob.tokenizer import TemplateRefusedError, Tokenizer
from rljob_trainer.data.message import checked_messages


class PromptTokenizer:
    """The checkpoint's tokenizer, with its chat template where the job asks for it.

    Args:
        checkpoint: a Hugging Face directory.
        chat: whether to render prompts with the chat template.
        template_arguments: arguments for the chat template, by name.

    Raises:
        UsageError: the checkpoint has no tokenizer, or no chat template although one is wanted.
    """

    def __init__(
        self,
        checkpoint: Path,
        *,
        chat: bool,
        template_arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self._tokenizer = Tokenizer(checkpoint, AutoTokenizer.from_pretrained)
        self._chat = chat
        self._template_arguments = dict(template_arguments or {})
        self._checkpoint = checkpoint
        # Models may have more rows than their tokenizer has tokens, for alignment; never fewer.
        self._rows: int | None = _rows(checkpoint)
        self._bos: int | None = self._tokenizer.inner.bos_token_id
        self._eos: int | None = self._tokenizer.inner.eos_token_id
        if chat and not self._tokenizer.has_chat_template:
            raise UsageError(
                "spec.data.applyChatTemplate: found true, but the tokenizer in "
                f"{checkpoint} has no chat template; allowed: false"
            )

    def check(self, prompt: Any, where: str) -> str | list[dict[str, Any]]:
        """Returns a text, or messages with one text each, that can be tokenized.

        Args:
            prompt: a JSON value.
            where: file and line, for errors.

        Raises:
            UsageError: it is neither, or contains half of a surrogate pair.
        """
        if isinstance(prompt, str):
            checked: str | list[dict[str, Any]] = prompt
            texts = [prompt]
        elif self._chat:
            checked = checked_messages(prompt, where)
            texts = [message["content"] or "" for message in checked]
        else:
            needs = " (messages need spec.data.applyChatTemplate)"
            raise UsageError(
                f"{where}: the prompt is a {type(prompt).__name__}; allowed: a string{needs}"
            )
        for text in texts:
            _check_text(text, where)
        return checked

    def encode(
        self, prompt: Any, where: str
    ) -> tuple[str, npt.NDArray[np.int32], list[dict[str, Any]] | None]:
        """The text that the model sees, its tokens [prompt], and the messages it comes from.

        Args:
            prompt: a string, or with a chat template also a list of messages.
            where: file and line, for errors.

        Raises:
            UsageError: it is of another type, or empty; the chat template refuses it; the model
                has no row for one of its tokens.
        """
        checked = self.check(prompt, where)
        messages = _messages(checked) if self._chat else None
        text = self._rendered(messages, where) if messages else str(checked)
        tokens = self._tokens(text)
        if not tokens:
            raise UsageError(f"{where}: the prompt is empty; allowed: at least one token")
        self._check_rows(tokens, where)
        return text, np.asarray(tokens, dtype=np.int32), messages

    def encode_answer(
        self, prompt: Any, prompt_text: str, answer: str, where: str
    ) -> tuple[str, npt.NDArray[np.int32]]:
        """The rest of a conversation after its prompt, and its tokens [answer].

        It ends with what the chat template closes the assistant's turn with, up to the
        end-of-sequence token if that is in it: an engine stops there. Where nothing closes it, the
        end-of-sequence token does.

        Args:
            prompt: as for `encode`.
            prompt_text: the text that `encode` gave for it.
            answer: the assistant's text.
            where: file and line, for errors.

        Raises:
            UsageError: the answer is half a character; the chat template refuses it, or writes the
                prompt in another way once it is answered; nothing ends it.
        """
        _check_text(answer, where, "label")
        end = self._end()
        text = answer
        if self._chat:
            text = self._answered(self.check(prompt, where), prompt_text, answer, where)
            said, found, after = text.rpartition(end) if end is not None else ("", "", "")
            if found and not after.strip():
                text = said + found
        tokens = self._continued(prompt_text, text)
        if text.rstrip().endswith(answer.rstrip()) and tokens[-1:] != [self._eos]:
            if self._eos is None or end is None:
                raise UsageError(
                    f"{where}: nothing ends the answer: the tokenizer in {self._checkpoint} has no "
                    "end-of-sequence token; allowed: one in its eos_token, or a chat template that "
                    "closes the assistant's turn"
                )
            text, tokens = text + end, [*tokens, self._eos]
        self._check_rows(tokens, where)
        return text, np.asarray(tokens, dtype=np.int32)

    def _answered(
        self, prompt: str | list[dict[str, Any]], prompt_text: str, answer: str, where: str
    ) -> str:
        """What the chat template writes after the prompt for an answer."""
        messages = _messages(prompt)
        whole = self._rendered(
            [*messages, {"role": "assistant", "content": answer}], where, answered=True
        )
        rest = whole.removeprefix(prompt_text)
        if rest == whole:
            raise UsageError(
                f"{where}: the chat template of {self._checkpoint} writes a conversation with its "
                "answer so that it does not begin with the prompt; allowed: "
                "spec.data.chatTemplateKwargs with which it does, or spec.data.applyChatTemplate: "
                "false"
            )
        return rest

    def _continued(self, prompt_text: str, text: str) -> list[int]:
        """The tokens of a text after the prompt's, which stay as they are without it.

        A prompt is all that the model is given later, so its tokens must not depend on the answer.
        """
        before = self._tokens(prompt_text)
        whole = self._tokens(prompt_text + text)
        if whole[: len(before)] == before:
            return whole[len(before) :]
        return self._tokenizer.encode(text)

    def _end(self) -> str | None:
        """The text of the end-of-sequence token."""
        if self._eos is None:
            return None
        end: str = self._tokenizer.inner.convert_ids_to_tokens(self._eos)
        return end

    def _tokens(self, text: str) -> list[int]:
        # A chat template writes the special tokens itself.
        tokens = self._tokenizer.encode(text, add_special_tokens=not self._chat)
        return self._without_ends(tokens, text)

    def _check_rows(self, tokens: list[int], where: str) -> None:
        """Checks that the model has a row for each token."""
        if self._rows is not None and max(tokens) >= self._rows:
            raise UsageError(
                f"{where}: the tokenizer gives token {max(tokens)}, but the model in "
                f"{self._checkpoint} has a vocabulary of {self._rows} (vocab_size of config.json, "
                f"against {len(self._tokenizer.inner)} tokens of the tokenizer); allowed: a "
                "tokenizer that belongs to the model"
            )

    def _rendered(
        self, messages: list[dict[str, Any]], where: str, *, answered: bool = False
    ) -> str:
        try:
            return self._tokenizer.render(
                messages, arguments=self._template_arguments, answered=answered
            )
        except TemplateRefusedError as error:
            raise UsageError(
                f"{where}: the chat template refuses the messages: {error}; allowed: what the "
                f"template of {self._checkpoint} can render"
            ) from error

    def _without_ends(self, tokens: list[int], text: str) -> list[int]:
        """Removes an end token that the tokenizer appends, and a second begin token.

        Some tokenizers end every text, after which a model has nothing left to say. A text that
        begins with `<s>` itself, as a template's does, gets a second one.
        """
        end = self._end()
        if tokens[-1:] == [self._eos] and not (end and text.rstrip().endswith(end)):
            tokens = tokens[:-1]
        if self._bos is not None and tokens[:2] == [self._bos, self._bos]:
            tokens = tokens[1:]
        return tokens


def _rows(checkpoint: Path) -> int | None:
    """The model's vocabulary size; None if config.json does not state it."""
    try:
        size = read_config(checkpoint).get("vocab_size")
    except UsageError:
        return None  # loading the model will report what is wrong
    return size if isinstance(size, int) else None


def _messages(prompt: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def _check_text(text: str, where: str, noun: str = "prompt") -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start]
        raise UsageError(
            f"{where}: the {noun} has {half!r}, half of a surrogate pair, which is not a "
            "character; allowed: Unicode text"
        ) from error
