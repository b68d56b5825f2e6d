"""Tokenizing: templates that refuse, appended end tokens, tokens without a row in the model."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from examples.sort_digits.prepare import write_tokenizer
from rljob.errors import UsageError
from rljob_trainer.data.tokenizer import PromptTokenizer

# Refuses a role, as templates of several models do; begins with a token, as those of Llama do.
TEMPLATE = (
    "^{% for m in messages %}{% if m.role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{{ m.content }}{% endfor %}>"
)
END = 1  # "^"


def written(directory: Path, *, template: str | None = None, **config: Any) -> Path:
    write_tokenizer(directory)
    if template is not None:
        tokenizer = AutoTokenizer.from_pretrained(directory)
        tokenizer.chat_template = template
        tokenizer.save_pretrained(directory)
    if config:
        (directory / "config.json").write_text(json.dumps(config))
    return directory


def test_a_list_of_text_parts_is_the_text(tmp_path: Path) -> None:
    tokenizer = PromptTokenizer(written(tmp_path, template=TEMPLATE), chat=True)
    parts = [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}]
    one = tokenizer.encode([{"role": "user", "content": parts}], "a.jsonl:1")
    other = tokenizer.encode("12", "a.jsonl:2")
    assert one[0] == other[0] == "^12>"
    assert one[1].tolist() == other[1].tolist()
    # What the text was rendered from, for a generate function to go on from.
    assert one[2] == other[2] == [{"role": "user", "content": "12"}]


def test_the_template_gets_its_arguments(tmp_path: Path) -> None:
    """As `enable_thinking` of Qwen3, which is on where nothing is said of it."""
    template = (
        "{% for m in messages %}{{ m.content }}{% endfor %}"
        "{% if enable_thinking is defined and enable_thinking is false %}0{% endif %}>"
    )
    directory = written(tmp_path, template=template)
    for arguments, text in (({}, "12>"), ({"enable_thinking": False}, "120>")):
        tokenizer = PromptTokenizer(directory, chat=True, template_arguments=arguments)
        assert tokenizer.encode("12", "a.jsonl:1")[0] == text


def test_what_the_template_refuses_is_told_with_its_place(tmp_path: Path) -> None:
    tokenizer = PromptTokenizer(written(tmp_path, template=TEMPLATE), chat=True)
    with pytest.raises(UsageError) as error:
        tokenizer.encode([{"role": "system", "content": "1"}], "a.jsonl:3")
    assert str(error.value).startswith("a.jsonl:3: the chat template refuses the messages: System")


def test_an_end_that_the_tokenizer_appends_is_no_part_of_a_prompt(tmp_path: Path) -> None:
    """As T5's and some Llama conversions do; a model has nothing to say after its end token."""
    directory = written(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A ^", special_tokens=[("^", END)]
    )
    tokenizer.save_pretrained(directory)
    assert AutoTokenizer.from_pretrained(directory).encode("12")[-1] == END
    _, tokens, _ = PromptTokenizer(directory, chat=False).encode("12", "a.jsonl:1")
    assert tokens.tolist() == [4, 5]
    # One that the user wrote stays.
    _, tokens, _ = PromptTokenizer(directory, chat=False).encode("12^", "a.jsonl:1")
    assert tokens.tolist()[:3] == [4, 5, END]


def test_a_second_begin_token_is_left_out(tmp_path: Path) -> None:
    """A text that was rendered before begins with it, and the tokenizer adds one of its own."""
    directory = written(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokenizer.bos_token = ">"
    begin = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="> $A", special_tokens=[(">", begin)]
    )
    tokenizer.save_pretrained(directory)
    encode = PromptTokenizer(directory, chat=False).encode
    assert encode("12", "a:1")[1].tolist() == [begin, 4, 5]
    assert encode(">12", "a:1")[1].tolist() == [begin, 4, 5]


def test_a_token_that_the_model_has_no_row_for_is_refused(tmp_path: Path) -> None:
    tokenizer = PromptTokenizer(written(tmp_path, vocab_size=6), chat=False)
    assert tokenizer.encode("12", "a.jsonl:1")[1].tolist() == [4, 5]
    with pytest.raises(UsageError) as error:
        tokenizer.encode("129", "a.jsonl:2")
    assert "a.jsonl:2: the tokenizer gives token 12, but the model" in str(error.value)
    assert "has a vocabulary of 6" in str(error.value)


@pytest.mark.parametrize("prompt", ["a\ud83d b", [{"role": "user", "content": "a\ud83d b"}]])
def test_half_a_surrogate_pair_is_no_text(tmp_path: Path, prompt: Any) -> None:
    chat = isinstance(prompt, list)
    tokenizer = PromptTokenizer(written(tmp_path, template=TEMPLATE), chat=chat)
    with pytest.raises(UsageError, match=r"a\.jsonl:1: the prompt has '\\ud83d', half of a surr"):
        tokenizer.encode(prompt, "a.jsonl:1")


@pytest.mark.parametrize("prompt", [None, 5, True, {"role": "user", "content": "1"}])
def test_what_is_neither_text_nor_messages(tmp_path: Path, prompt: Any) -> None:
    for chat in (False, True):
        tokenizer = PromptTokenizer(written(tmp_path, template=TEMPLATE), chat=chat)
        with pytest.raises(UsageError, match=r"a\.jsonl:1: the prompt is"):
            tokenizer.encode(prompt, "a.jsonl:1")
