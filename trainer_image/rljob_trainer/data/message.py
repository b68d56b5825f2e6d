"""Checks chat messages in their common format."""

from typing import Any

from rljob.errors import UsageError

_ALLOWED = (
    'allowed: a list of {"role": text, "content": text} ("content" may also be a list of '
    '{"type": "text", "text": text} parts, which are joined)'
)


def checked_messages(prompt: Any, where: str) -> list[dict[str, Any]]:
    """The messages of a prompt, with each content joined into one text.

    Other keys of a message (`name`, `tool_calls`) are left to the chat template.

    Args:
        prompt: a JSON value: a list of messages.
        where: file and line, for errors.

    Raises:
        UsageError: it is not; a chat template might not notice, or fail with an unhelpful error.
    """
    if not isinstance(prompt, list):
        raise UsageError(f"{where}: the prompt is {_kind(prompt)}; allowed: a text, or messages")
    if not prompt:
        raise UsageError(f"{where}: the prompt is an empty list; {_ALLOWED}")
    return [_message(each, f"{where}: message {n}") for n, each in enumerate(prompt, start=1)]


def _message(message: Any, where: str) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise UsageError(f"{where} is {_kind(message)}; {_ALLOWED}")
    if "role" not in message and "from" in message:
        raise UsageError(
            f'{where} has the keys "from" and "value" of ShareGPT; {_ALLOWED}; rename them, and '
            'the roles "human" and "gpt" to "user" and "assistant"'
        )
    role = message.get("role")
    if not isinstance(role, str) or not role:
        raise UsageError(f'{where}: "role" is {_kind(role)}; {_ALLOWED}')
    # A message that calls a tool may have no text.
    if message.get("content") is None and message.get("tool_calls"):
        return message
    return {**message, "content": _content(message.get("content"), where)}


def _content(content: Any, where: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise UsageError(f'{where}: "content" is {_kind(content)}; {_ALLOWED}')
    parts = []
    for part in content:
        text = part.get("text") if isinstance(part, dict) else None
        kind = part.get("type", "text") if isinstance(part, dict) else _kind(part)
        if kind != "text" or not isinstance(text, str):
            raise UsageError(f'{where}: "content" has a part that is {kind!r}; {_ALLOWED}')
        parts.append(text)
    return "".join(parts)


def _kind(value: Any) -> str:
    """A JSON value's type in plain words."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text" if value else "an empty text"
        case list():
            return "a list" if value else "an empty list"
        case _:
            return "an object"
