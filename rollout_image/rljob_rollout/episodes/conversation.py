"""The tokens of a conversation, whose assistant's turns are the engine's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rljob.tokenizer import Tokenizer
from rljob_rollout.episodes.tool_calls import with_parsed_arguments

Message = Mapping[str, Any]


@dataclass(frozen=True)
class _Turn:
    """A turn of the assistant: what came before, what it said, and the text and tokens of both."""

    history: list[Message]
    reply: Message
    said: str  # the reply as the engine made it, without the token that ended it
    text: str
    tokens: list[int]

    def is_in(self, messages: Sequence[Message]) -> bool:
        """Whether these messages begin with this turn."""
        length = len(self.history)
        return (
            len(messages) > length
            and messages[length] == self.reply
            and list(messages[:length]) == self.history
        )


@dataclass(frozen=True)
class Context:
    """What the engine goes on from.

    Args:
        tokens: of all messages.
        text: the same as text.
        is_kept: the tokens begin with those of the assistant's last turn, or there was none. If
            not, the chat template renders that turn differently from what the engine made.
    """

    tokens: list[int]
    text: str
    is_kept: bool


class Conversation:
    """Renders messages, and keeps the engine's tokens for what it said itself.

    Text that went through a parser and a chat template rarely comes back as the tokens that the
    engine made. So a turn of the assistant is rendered as the engine wrote it, and only what
    follows is made into tokens. Where the template changes the turn nevertheless (it drops thoughts
    of earlier turns, for example), the context is made anew, which `Context.is_kept` tells.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        prompt: str,
        prompt_tokens: list[int],
        arguments: Mapping[str, Any],
    ) -> None:
        """Nothing was said yet.

        Args:
            tokenizer: the checkpoint's.
            prompt: the group's, as text.
            prompt_tokens: its tokens.
            arguments: of the chat template.
        """
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._prompt_tokens = prompt_tokens
        self._arguments = dict(arguments)
        self._turns: list[_Turn] = []

    def context(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None = None
    ) -> Context:
        """The tokens of messages, up to where the assistant begins to speak.

        Raises:
            TemplateRefusedError: the chat template can't render them.
        """
        turns = [turn for turn in self._turns if turn.is_in(messages)]
        said = {len(turn.history): turn.said for turn in turns}
        written = [
            {"role": "assistant", "content": said[n]} if n in said else with_parsed_arguments(each)
            for n, each in enumerate(messages)
        ]
        text = self._tokenizer.render(written, tools=tools, arguments=self._arguments)
        if text == self._prompt:
            return Context(self._prompt_tokens, text, is_kept=True)
        if not turns:
            return Context(self._tokenizer.encode(text), text, is_kept=True)
        last = max(turns, key=lambda turn: len(turn.history))
        if text.startswith(last.text):
            more = self._tokenizer.encode(text[len(last.text) :])
            return Context(last.tokens + more, text, is_kept=True)
        return Context(self._tokenizer.encode(text), text, is_kept=False)

    def add(
        self,
        messages: Sequence[Message],
        reply: Message,
        context: Context,
        response: list[int],
        *,
        ended: bool,
    ) -> None:
        """Keeps a turn of the assistant.

        Args:
            messages: what came before.
            reply: what it said, as the caller gets it.
            context: of `messages`.
            response: the tokens that the engine made.
            ended: the last of them is no part of what was said.
        """
        decode = self._tokenizer.decode
        self._turns.append(
            _Turn(
                history=list(messages),
                reply=reply,
                said=decode(response[:-1] if ended else response),
                text=context.text + decode(response),
                tokens=context.tokens + response,
            )
        )
