"""The JSON Lines source: order, resume, and every mistake in the data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from examples.sort_digits.prepare import write_tokenizer
from rljob.api.data import DataSpec
from rljob.errors import UsageError
from rljob_trainer.data.source import JsonlSource
from rljob_trainer.data.tokenizer import PromptTokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PromptTokenizer:
    directory = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(directory)
    return PromptTokenizer(directory, chat=False)


def write(path: Path, lines: list[Any]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def numbered(path: Path, count: int) -> str:
    return write(path, [{"prompt": f"{n}=", "label": str(n)} for n in range(count)])


def source(tokenizer: PromptTokenizer, *paths: str, seed: int = 1, **spec: Any) -> JsonlSource:
    return JsonlSource(DataSpec(prompts=list(paths), **spec), paths, tokenizer, seed)


def draw(source: JsonlSource, count: int) -> list[tuple[int, str | None]]:
    """Epoch and label; None for a prompt that is skipped."""
    drawn = [source.draw() for _ in range(count)]
    return [(ref.epoch, None if prompt is None else prompt.label) for ref, prompt in drawn]


def test_each_epoch_has_every_prompt_once_in_its_own_order(
    tmp_path: Path, tokenizer: PromptTokenizer
) -> None:
    one, two = numbered(tmp_path / "a.jsonl", 7), numbered(tmp_path / "b.jsonl", 5)
    drawn = draw(source(tokenizer, one, two), 24)
    first, second = drawn[:12], drawn[12:]
    assert {epoch for epoch, _ in first} == {0}
    assert {epoch for epoch, _ in second} == {1}
    everything = sorted([str(n) for n in range(7)] + [str(n) for n in range(5)])
    assert sorted(label for _, label in first) == everything
    assert sorted(label for _, label in second) == everything
    assert [label for _, label in first] != [label for _, label in second]


def test_order_depends_on_the_seed_alone(tmp_path: Path, tokenizer: PromptTokenizer) -> None:
    path = numbered(tmp_path / "a.jsonl", 20)
    assert draw(source(tokenizer, path, seed=1), 20) == draw(source(tokenizer, path, seed=1), 20)
    assert draw(source(tokenizer, path, seed=1), 20) != draw(source(tokenizer, path, seed=2), 20)


def test_without_shuffle_the_files_are_read_in_order(
    tmp_path: Path, tokenizer: PromptTokenizer
) -> None:
    path = numbered(tmp_path / "a.jsonl", 4)
    assert [label for _, label in draw(source(tokenizer, path, shuffle=False), 4)] == list("0123")


def test_resumed_source_goes_on_with_the_next_prompt(
    tmp_path: Path, tokenizer: PromptTokenizer
) -> None:
    path = numbered(tmp_path / "a.jsonl", 10)
    whole = draw(source(tokenizer, path), 25)
    begun = source(tokenizer, path)
    draw(begun, 13)
    resumed = source(tokenizer, path)
    resumed.load(begun.save())
    assert draw(resumed, 12) == whole[13:]


def test_prompts_are_tokenized_and_carry_their_place(
    tmp_path: Path, tokenizer: PromptTokenizer
) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": "12>", "label": 3, "metadata": {"k": "v"}}])
    _, prompt = source(tokenizer, path, metadata_key="metadata").draw()
    expected: npt.NDArray[np.int32] = np.array([4, 5, 15], np.int32)
    assert prompt.tokens.tolist() == expected.tolist()
    assert prompt.metadata == {"k": "v", "source": f"{path}:1"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "{path} is empty; allowed: at least one line"),
        ('{"prompt": "1"', "{path}:1: found no JSON"),
        ('{"prompt": "1", "label": "1"}\n[1]\n', "{path}:2: found a JSON list"),
        ('{"prompt": "1"}\n', "{path}:1: the key 'label' (spec.data.labelKey) is missing"),
        ('{"text": "1", "label": 1}\n', "the keys 'text', 'label'"),
        ('{"prompt": "1", "label": "1"}\n\n{"prompt": "1", "label": "1"}\n', "{path}:2: found an"),
    ],
)
def test_mistakes_in_the_file(
    tmp_path: Path, tokenizer: PromptTokenizer, content: str, message: str
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError) as error:
        source(tokenizer, str(path))
    assert message.format(path=path) in str(error.value)


def test_unreadable_file(tmp_path: Path, tokenizer: PromptTokenizer) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*none\.jsonl: No such file"):
        source(tokenizer, str(tmp_path / "none.jsonl"))


@pytest.mark.parametrize("prompt", [17, ["a"], ""])
def test_prompt_of_a_wrong_kind(tmp_path: Path, tokenizer: PromptTokenizer, prompt: Any) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": prompt, "label": "x"}])
    with pytest.raises(UsageError, match=r"a\.jsonl:1: the prompt is"):
        source(tokenizer, path).draw()


def test_long_prompt_is_refused_or_skipped_and_counted(
    tmp_path: Path, tokenizer: PromptTokenizer
) -> None:
    lines = [{"prompt": "123456", "label": "x"}, {"prompt": "12", "label": "y"}]
    path = write(tmp_path / "a.jsonl", lines)
    strict = source(tokenizer, path, max_prompt_tokens=4, shuffle=False)
    with pytest.raises(UsageError, match=r"a\.jsonl:1: the prompt has 6 tokens; allowed: 4"):
        strict.draw()
    lenient = source(tokenizer, path, max_prompt_tokens=4, skip_long_prompts=True)
    assert sorted(draw(lenient, 4), key=str) == [(0, "y"), (0, None), (1, "y"), (1, None)]
    assert lenient.skipped == 2


def test_only_long_prompts_is_an_error_not_a_loop(
    tmp_path: Path, tokenizer: PromptTokenizer
) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": "123456", "label": "x"}])
    only_long = source(tokenizer, path, max_prompt_tokens=4, skip_long_prompts=True)
    with pytest.raises(UsageError, match="all 1 prompts are longer than 4 tokens"):
        only_long.draw()


def test_other_data_than_in_the_checkpoint(tmp_path: Path, tokenizer: PromptTokenizer) -> None:
    saved = source(tokenizer, numbered(tmp_path / "a.jsonl", 10)).save()
    other = source(tokenizer, numbered(tmp_path / "b.jsonl", 9))
    with pytest.raises(UsageError, match="found 9 prompts, but the checkpoint was made with 10"):
        other.load(saved)
