"""A conversation keeps the engine's tokens, for templates of several families."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from rljob.buffer.records import Segment, VersionSpan
from rljob.tokenizer import TemplateRefusedError, Tokenizer
from rljob_rollout.episodes.conversation import Conversation
from rljob_rollout.episodes.recorder import Recorder
from tests.support.chat_templates import FAMILIES, write_chat_tokenizer

QUESTION = [{"role": "user", "content": "What is 12 plus 30?"}]


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    found = {}
    for family in FAMILIES:
        directory: Path = tmp_path_factory.mktemp(family.replace(".", ""))
        write_chat_tokenizer(directory, family)
        found[family] = Tokenizer(directory, AutoTokenizer.from_pretrained)
    return found


def conversation(tokenizer: Tokenizer, messages: list[dict[str, Any]]) -> Conversation:
    text = tokenizer.render(messages)
    return Conversation(tokenizer, prompt=text, prompt_tokens=tokenizer.encode(text), arguments={})


TURNS = st.lists(
    st.tuples(
        # Tokens as no tokenizer would choose them for their text, and how the turn ended.
        st.lists(st.integers(16, 399), min_size=1, max_size=8),
        st.booleans(),
        st.sampled_from(["user", "tool"]),
        st.text(max_size=6),
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("family", FAMILIES)
@settings(deadline=None, max_examples=40)
@given(turns=TURNS, versions=st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_every_token_of_the_engine_reaches_the_trainer_as_it_was_made(
    family: str,
    tokenizers: dict[str, Tokenizer],
    turns: list[tuple[list[int], bool, str, str]],
    versions: list[int],
) -> None:
    tokenizer = tokenizers[family]
    end = tokenizer.inner.eos_token_id
    messages: list[dict[str, Any]] = list(QUESTION)
    talk = conversation(tokenizer, messages)
    recorder = Recorder(talk.context(messages).tokens)
    made = []  # what the engine saw and said
    before: list[int] = []
    for (tokens, ends, role, text), version in zip(turns, versions, strict=False):
        context = talk.context(messages)
        assert tokenizer.decode(context.tokens) == context.text
        assert context.is_kept == (context.tokens[: len(before)] == before)
        said = [*tokens, end] if ends else tokens
        segment = Segment.generated(
            np.array(said, np.int32),
            -np.arange(1, len(said) + 1, dtype=np.float32),
            [VersionSpan(version, 0, len(said))],
        )
        recorder.add(context.tokens, segment)
        made.append((context.tokens, said, version))
        reply = {"role": "assistant", "content": tokenizer.decode(tokens)}
        talk.add(messages, reply, context, said, ended=ends)
        before = [*context.tokens, *said]
        messages = [*messages, reply, {"role": role, "content": text}]
    found = []  # what the trainer gets: each learned token with its whole context
    for one in recorder.trajectories:
        prompt = recorder._prompt if one.prompt is None else one.prompt.tolist()
        whole = [*prompt, *one.segment.tokens.tolist()]
        for span in one.segment.versions:
            assert one.segment.loss_mask[span.start : span.end].all()
        for position in np.flatnonzero(one.segment.loss_mask).tolist():
            (version,) = [
                span.version for span in one.segment.versions if span.start <= position < span.end
            ]
            at = len(prompt) + position
            logprob = float(one.segment.logprobs[position])
            found.append((whole[:at], whole[at], version, logprob))
    expected = [
        ([*context, *said[:n]], token, version, -float(n + 1))
        for context, said, version in made
        for n, token in enumerate(said)
    ]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("family", ["qwen2.5", "qwen3", "llama3", "glm4"])
def test_a_tools_answer_goes_on_in_the_same_context(
    family: str, tokenizers: dict[str, Tokenizer]
) -> None:
    """Within one question these drop nothing, thoughts neither."""
    tokenizer = tokenizers[family]
    talk = conversation(tokenizer, QUESTION)
    first = talk.context(QUESTION)
    said = tokenizer.encode("<think>\nadd\n</think>\n\nLet me see.")
    reply = {"role": "assistant", "content": "Let me see."}  # as a parser left it
    talk.add(QUESTION, reply, first, said, ended=False)
    messages = [*QUESTION, reply, {"role": "tool", "content": "42"}]
    context = talk.context(messages)
    assert context.is_kept
    assert context.tokens[: len(first.tokens) + len(said)] == first.tokens + said
    assert "42" in context.text


@pytest.mark.parametrize("family", ["qwen3", "deepseek"])
def test_thoughts_that_a_template_drops_are_told(
    family: str, tokenizers: dict[str, Tokenizer]
) -> None:
    tokenizer = tokenizers[family]
    talk = conversation(tokenizer, QUESTION)
    said = tokenizer.encode("<think>\nadd\n</think>\n\n42")
    reply = {"role": "assistant", "content": "42"}
    talk.add(QUESTION, reply, talk.context(QUESTION), said, ended=False)
    context = talk.context([*QUESTION, reply, {"role": "user", "content": "Sure?"}])
    assert not context.is_kept
    assert "<think>" not in context.text
    assert tokenizer.decode(context.tokens) == context.text


def test_a_message_that_was_changed_is_no_turn_of_the_engine(
    tokenizers: dict[str, Tokenizer],
) -> None:
    tokenizer = tokenizers["qwen2.5"]
    talk = conversation(tokenizer, QUESTION)
    reply = {"role": "assistant", "content": "42"}
    talk.add(QUESTION, reply, talk.context(QUESTION), tokenizer.encode("42"), ended=False)
    changed = {"role": "assistant", "content": "43"}
    context = talk.context([*QUESTION, changed, {"role": "user", "content": "Sure?"}])
    assert "43" in context.text and "42" not in context.text


def test_tool_calls_come_as_openai_has_them_and_go_as_templates_want_them(
    tokenizers: dict[str, Tokenizer],
) -> None:
    tokenizer = tokenizers["qwen2.5"]
    call = {
        "id": "call_1_0",
        "type": "function",
        "function": {"name": "add", "arguments": '{"a": 12}'},
    }
    messages = [*QUESTION, {"role": "assistant", "content": None, "tool_calls": [call]}]
    context = conversation(tokenizer, QUESTION).context(messages)
    assert '{"name": "add", "arguments": {"a": 12}}' in context.text


def test_what_the_template_refuses_is_an_error(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["qwen2.5"]
    talk = conversation(tokenizer, QUESTION)
    with pytest.raises(TemplateRefusedError):
        talk.context([{"role": "user", "content": 3, "tool_calls": 7}])
