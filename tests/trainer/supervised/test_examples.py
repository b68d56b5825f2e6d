"""The batches of a supervised run: each example once per epoch, and exactly where a run stopped."""

import json
from pathlib import Path

import pytest
import torch

from examples.sort_digits.prepare import write_tokenizer
from rljob.api.data import DataSpec
from rljob.api.reward import RewardSpec
from rljob.errors import UsageError
from rljob_trainer.data.answer import Answers
from rljob_trainer.data.jsonl import JsonlSource
from rljob_trainer.data.tokenizer import PromptTokenizer
from rljob_trainer.supervised.example_batch import ExampleBatch
from rljob_trainer.supervised.examples import Examples

LINES = 10
SIZE = 4


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PromptTokenizer:
    directory = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(directory)
    return PromptTokenizer(directory, chat=False)


def opened(
    directory: Path, tokenizer: PromptTokenizer, *, labels: list[str] | None = None
) -> Examples:
    """Examples whose labels are their numbers; an answer of more than three tokens is skipped."""
    path = directory / "train.jsonl"
    chosen = labels or [str(n) for n in range(LINES)]
    lines = [json.dumps({"prompt": f"{n}=", "label": label}) for n, label in enumerate(chosen)]
    path.write_text("\n".join(lines) + "\n")
    spec = DataSpec(prompts=[str(path)], skip_long_prompts=True)
    answers = Answers(tokenizer, longest=3, skip_long=True)
    source = JsonlSource(
        spec,
        [str(path)],
        tokenizer,
        1,
        directory / "index",
        rewards=[RewardSpec(type="exact")],
        answers=answers,
    )
    return Examples(source, SIZE)


def taken(examples: Examples, batches: int) -> list[list[str]]:
    return [[prompt.label for prompt in examples.take()] for _ in range(batches)]


def test_each_example_is_learned_once_in_an_epoch(
    tmp_path: Path, tokenizer: PromptTokenizer
) -> None:
    drawn = [label for batch in taken(opened(tmp_path, tokenizer), 5) for label in batch]
    first, second = drawn[:LINES], drawn[LINES:]
    assert sorted(first) == sorted(second) == [str(n) for n in range(LINES)]
    assert first != second


def test_a_resumed_run_goes_on_where_the_checkpoint_was(
    tmp_path: Path, tokenizer: PromptTokenizer
) -> None:
    whole = taken(opened(tmp_path, tokenizer), 6)
    stopped = opened(tmp_path, tokenizer)
    taken(stopped, 2)
    cursor = stopped.save()
    taken(stopped, 1)  # learned, but after the checkpoint
    again = opened(tmp_path, tokenizer)
    again.load(cursor)
    assert taken(again, 4) == whole[2:]


def test_long_answers_are_passed_over_and_counted(
    tmp_path: Path, tokenizer: PromptTokenizer
) -> None:
    labels = [str(n) if n % 2 else "0349" for n in range(LINES)]
    examples = opened(tmp_path, tokenizer, labels=labels)
    assert sorted(label for batch in taken(examples, 5) for label in batch) == sorted(
        [*(str(n) for n in range(LINES) if n % 2)] * 4
    )
    metrics = examples.metrics()
    # 20 examples of 5 an epoch are of the first four; what is passed over behind the last is not
    # drawn yet.
    assert 3.5 < metrics["data/epoch"] <= 4.0
    assert metrics["data/skipped"] == metrics["data/epoch"] * LINES - 20
    assert set(examples.skipped) <= {"longer than spec.rollout.sampling.maxResponseTokens"}


def test_data_without_a_usable_answer_ends_the_run(
    tmp_path: Path, tokenizer: PromptTokenizer
) -> None:
    examples = opened(tmp_path, tokenizer, labels=["0349"] * LINES)
    with pytest.raises(UsageError, match="maxResponseTokens: all 10 answers are longer than 3"):
        examples.take()


def test_the_answer_is_learned_and_the_prompt_is_not(
    tmp_path: Path, tokenizer: PromptTokenizer
) -> None:
    prompts = opened(tmp_path, tokenizer).take()
    sent = ExampleBatch.of(prompts).arrays
    for prompt, trajectory in zip(prompts, ExampleBatch(sent).trajectories(), strict=True):
        assert prompt.answer is not None
        expected = [*prompt.tokens.tolist(), *prompt.answer.tokens.tolist()]
        assert trajectory.tokens.tolist() == expected
        assert trajectory.prompt_length == len(prompt.tokens)
        assert torch.equal(trajectory.loss_mask, torch.ones(len(prompt.answer.tokens)))
