"""Answers: their tokens are the template's, what ends them, and mistakes in labels."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from rljob.errors import UsageError
from rljob_trainer.data.answer import Answers
from rljob_trainer.data.source import Answer, LongPrompt, Prompt
from rljob_trainer.data.tokenizer import PromptTokenizer
from tests.trainer.data.test_tokenizer import END, written

# In the form of ChatML, which Qwen uses: ":" opens a turn, "^" closes it, a blank follows it.
TEMPLATE = (
    "{% for m in messages %}:{{ 'a' if m.role == 'assistant' else 'e' }}>{{ m.content }}^ "
    "{% endfor %}{% if add_generation_prompt %}:a>{% endif %}"
)


def encoded(
    directory: Path, prompt: Any, label: str, *, chat: bool, longest: int = 64, skip: bool = False
) -> tuple[Prompt, Answer | LongPrompt]:
    tokenizer = PromptTokenizer(directory, chat=chat)
    text, tokens, messages = tokenizer.encode(prompt, "a.jsonl:1")
    made = Prompt(text, tokens, messages, label, {})
    answers = Answers(tokenizer, longest=longest, skip_long=skip)
    answers.check(label, "a.jsonl:1")
    return made, answers.encode(prompt, made, "a.jsonl:1")


def test_a_plain_answer_ends_with_the_end_of_sequence(tmp_path: Path) -> None:
    _, answer = encoded(written(tmp_path), "4093>", "0349", chat=False)
    assert isinstance(answer, Answer)
    assert answer.text == "0349^"
    assert answer.tokens.tolist() == [*AutoTokenizer.from_pretrained(tmp_path).encode("0349"), END]


def test_a_label_that_ends_itself_is_not_ended_twice(tmp_path: Path) -> None:
    _, answer = encoded(written(tmp_path), "4093>", "0349^", chat=False)
    assert isinstance(answer, Answer)
    assert answer.text == "0349^"
    assert answer.tokens.tolist().count(END) == 1


def test_prompt_and_answer_are_the_whole_conversation_of_the_template(tmp_path: Path) -> None:
    """What follows the end-of-sequence token is left out: an engine stops there."""
    directory = written(tmp_path, template=TEMPLATE)
    messages = [{"role": "user", "content": "12"}]
    prompt, answer = encoded(directory, messages, "21", chat=True)
    assert isinstance(answer, Answer)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    whole = tokenizer.apply_chat_template(
        [*messages, {"role": "assistant", "content": "21"}], tokenize=False
    )
    assert whole == ":e>12^ :a>21^ "
    assert prompt.text + answer.text == whole.rstrip()
    assert [*prompt.tokens, *answer.tokens] == tokenizer.encode(
        prompt.text + answer.text, add_special_tokens=False
    )
    assert answer.text == "21^"


@pytest.mark.parametrize(("closing", "text"), [("|", "21|"), ("", "21^")])
def test_the_template_closes_the_turn_or_the_end_of_sequence_does(
    closing: str, text: str, tmp_path: Path
) -> None:
    template = (
        "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}CLOSE{% else %}>"
        "{% endif %}{% endfor %}"
    ).replace("CLOSE", closing)
    _, answer = encoded(written(tmp_path, template=template), "12", "21", chat=True)
    assert isinstance(answer, Answer)
    assert answer.text == text


def test_a_template_that_changes_the_prompt_is_refused(tmp_path: Path) -> None:
    template = (
        "{% for m in messages %}{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}>{% endif %}"
    )
    with pytest.raises(UsageError, match=r"a.jsonl:1: the chat template of .* does not begin with"):
        encoded(written(tmp_path, template=template), "12", "21", chat=True)


@pytest.mark.parametrize(
    ("label", "found"),
    [(7, "the label is 7, a int"), (None, "a NoneType"), (["a"], "a list"), ("", "empty text")],
)
def test_a_label_that_is_no_answer_is_refused(label: Any, found: str, tmp_path: Path) -> None:
    answers = Answers(PromptTokenizer(written(tmp_path), chat=False), longest=8, skip_long=False)
    with pytest.raises(UsageError, match=f"a.jsonl:1: estimator sft: .*{found}"):
        answers.check(label, "a.jsonl:1")


def test_a_long_answer_is_refused_or_skipped_as_a_long_prompt_is(tmp_path: Path) -> None:
    directory = written(tmp_path)
    with pytest.raises(
        UsageError, match=r"the answer has 5 tokens with its end; allowed: 4 \(spec"
    ):
        encoded(directory, "12>", "0349", chat=False, longest=4)
    _, skipped = encoded(directory, "12>", "0349", chat=False, longest=4, skip=True)
    assert isinstance(skipped, LongPrompt)
    assert (skipped.tokens, skipped.limit) == (5, "spec.rollout.sampling.maxResponseTokens")
