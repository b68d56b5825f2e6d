"""Chat messages: which forms are accepted, and how others are reported."""

from typing import Any

import pytest

from rljob.errors import UsageError
from rljob_trainer.data.message import checked_messages

USER = {"role": "user", "content": "1+1"}


def test_parts_of_text_are_joined() -> None:
    """The shape of OpenAI's chat completions: content as a list of text parts."""
    parts = [{"type": "text", "text": "1+"}, {"type": "text", "text": "1"}]
    assert checked_messages([{"role": "user", "content": parts}], "a.jsonl:1") == [USER]


def test_other_keys_are_left_to_the_template() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    messages = [{**USER, "name": "Ada"}, call]
    assert checked_messages(messages, "a.jsonl:1") == messages


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (None, "the prompt is null"),
        (3, "the prompt is a number"),
        ({}, "the prompt is an object"),
        ([], "the prompt is an empty list"),
        ([[USER]], "message 1 is a list"),
        ([USER, "1+1"], "message 2 is a text"),
        ([{"content": "1"}], 'message 1: "role" is null'),
        ([{"role": "", "content": "1"}], 'message 1: "role" is an empty text'),
        ([{"role": "user"}], 'message 1: "content" is null'),
        ([{"role": "user", "content": []}], 'message 1: "content" is an empty list'),
        ([{"role": "user", "content": 4}], 'message 1: "content" is a number'),
        ([{"role": "user", "content": {"text": "1"}}], 'message 1: "content" is an object'),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}],
            "a part that is 'image_url'",
        ),
        ([{"role": "user", "content": ["1"]}], "a part that is 'a text'"),
        ([{"role": "user", "content": [{"type": "text", "text": None}]}], "a part that is 'text'"),
        ([{"from": "human", "value": "1"}], 'has the keys "from" and "value" of ShareGPT'),
    ],
)
def test_what_is_refused(prompt: Any, message: str) -> None:
    with pytest.raises(UsageError) as error:
        checked_messages(prompt, "a.jsonl:7")
    assert str(error.value).startswith("a.jsonl:7: ")
    assert message in str(error.value)
    assert "; allowed: " in str(error.value)
