"""The JSON Lines source: order, resume, and every mistake in the data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from examples.sort_digits.prepare import write_tokenizer
from rljob.api.data import DataSpec
from rljob.api.reward import RewardSpec
from rljob.errors import UsageError
from rljob_trainer.data import jsonl
from rljob_trainer.data.jsonl import JsonlSource
from rljob_trainer.data.source import PromptRef, Skipped
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
    index = Path(paths[0]).parent / "index"
    return JsonlSource(
        DataSpec(prompts=list(paths), **spec),
        paths,
        tokenizer,
        seed,
        index,
        rewards=[RewardSpec(type="exact")],
    )


def draw(source: JsonlSource, count: int) -> list[tuple[int, str | None]]:
    """Epoch and label; None for a prompt that is skipped."""
    drawn = source.draw(count)
    assert len(drawn) == count
    return [
        (ref.epoch, None if isinstance(prompt, Skipped) else prompt.label) for ref, prompt in drawn
    ]


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
    one, two = numbered(tmp_path / "a.jsonl", 4), numbered(tmp_path / "b.jsonl", 2)
    drawn = source(tokenizer, one, two, shuffle=False).draw(8)
    assert [prompt.label for _, prompt in drawn if prompt] == list("01230101")
    assert [ref for ref, _ in drawn] == [
        *(PromptRef(0, n) for n in range(6)),
        *(PromptRef(1, n) for n in range(2)),
    ]


@pytest.mark.parametrize("spec", [{}, {"shuffle": False}, {"shuffle_block": 4}])
def test_resumed_source_goes_on_with_the_next_prompt(
    tmp_path: Path, tokenizer: PromptTokenizer, spec: dict[str, Any]
) -> None:
    path = numbered(tmp_path / "a.jsonl", 10)
    whole = draw(source(tokenizer, path, **spec), 35)
    for place in range(24):
        begun = source(tokenizer, path, **spec)
        draw(begun, place)
        resumed = source(tokenizer, path, **spec)
        resumed.load(begun.save())
        assert draw(resumed, 11) == whole[place : place + 11]


def test_blocks_of_lines_come_together(tmp_path: Path, tokenizer: PromptTokenizer) -> None:
    one, two = numbered(tmp_path / "a.jsonl", 70), numbered(tmp_path / "b.jsonl", 33)
    drawn = source(tokenizer, one, two, shuffle_block=10).draw(206)
    indices = [ref.index for ref, _ in drawn]
    assert sorted(indices[:103]) == sorted(indices[103:]) == list(range(103))
    assert indices[:103] != indices[103:]
    for begin in range(0, 100, 10):
        block = indices[begin : begin + 10]
        assert block != sorted(block)
        assert any({(first + n) % 103 for n in range(10)} == set(block) for first in block)
    labels = [*map(str, range(70)), *map(str, range(33))]
    assert [prompt.label for _, prompt in drawn if prompt] == [labels[index] for index in indices]


def test_a_block_is_read_at_once(tmp_path: Path, tokenizer: PromptTokenizer) -> None:
    """What is left of a block does not come from the file any more."""
    path = numbered(tmp_path / "a.jsonl", 40)
    whole = draw(source(tokenizer, path, shuffle_block=8), 40)
    cut = source(tokenizer, path, shuffle_block=8, max_bad_share=0)
    assert draw(cut, 1) == whole[:1]
    Path(path).write_text("")
    assert draw(cut, 7) == whole[1:8]
    with pytest.raises(UsageError, match="found invalid JSON"):
        draw(cut, 1)


def test_index_is_made_once(tmp_path: Path, tokenizer: PromptTokenizer) -> None:
    path = numbered(tmp_path / "a.jsonl", 5)
    source(tokenizer, path)
    (file,) = (tmp_path / "index").iterdir()
    before = file.stat().st_ino
    assert len(draw(source(tokenizer, path), 5)) == 5
    (file,) = (tmp_path / "index").iterdir()
    assert file.stat().st_ino == before


def test_mistake_beyond_what_is_read_before_the_run(
    tmp_path: Path, tokenizer: PromptTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "PREFLIGHT_BYTES", 31)
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "1", "label": "1"}\n' * 2 + "[1]\n")
    late = source(tokenizer, str(path), shuffle=False, max_bad_share=0)
    assert draw(late, 2) == [(0, "1")] * 2
    with pytest.raises(UsageError, match=r"a\.jsonl:3: found a JSON list"):
        draw(late, 1)
    path.write_text('{"prompt": "1", "label": "1"}\n[1]\n')
    with pytest.raises(UsageError, match=r"a\.jsonl:2: found a JSON list"):
        source(tokenizer, str(path))


def test_prompts_are_tokenized_and_carry_their_place(
    tmp_path: Path, tokenizer: PromptTokenizer
) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": "12>", "label": 3, "metadata": {"k": "v"}}])
    _, prompt = source(tokenizer, path, metadata_key="metadata").draw(1)[0]
    expected: npt.NDArray[np.int32] = np.array([4, 5, 15], np.int32)
    assert prompt is not None
    assert prompt.tokens.tolist() == expected.tolist()
    assert prompt.metadata == {"k": "v", "source": f"{path}:1"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "{path} is empty; allowed: at least one line"),
        ('{"prompt": "1"', "{path}:1: found invalid JSON"),
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
        source(tokenizer, path).draw(1)


def test_long_prompt_is_refused_or_skipped_and_counted(
    tmp_path: Path, tokenizer: PromptTokenizer
) -> None:
    lines = [{"prompt": "123456", "label": "x"}, {"prompt": "12", "label": "y"}]
    path = write(tmp_path / "a.jsonl", lines)
    with pytest.raises(UsageError, match=r"a\.jsonl:1: the prompt has 6 tokens; allowed: 4"):
        source(tokenizer, path, max_prompt_tokens=4, shuffle=False)
    lenient = source(tokenizer, path, max_prompt_tokens=4, skip_long_prompts=True)
    assert sorted(draw(lenient, 4), key=str) == [(0, "y"), (0, None), (1, "y"), (1, None)]
    assert lenient.skipped == 2


def test_only_long_prompts_is_an_error_not_a_loop(
    tmp_path: Path, tokenizer: PromptTokenizer
) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": "123456", "label": "x"}])
    only_long = source(tokenizer, path, max_prompt_tokens=4, skip_long_prompts=True)
    with pytest.raises(UsageError, match="all 1 prompts are longer than 4 tokens"):
        only_long.draw(1)


def test_other_data_than_in_the_checkpoint(tmp_path: Path, tokenizer: PromptTokenizer) -> None:
    saved = source(tokenizer, numbered(tmp_path / "a.jsonl", 10)).save()
    other = source(tokenizer, numbered(tmp_path / "b.jsonl", 9))
    with pytest.raises(UsageError, match="found 9 prompts, but the checkpoint was made with 10"):
        other.load(saved)


def test_a_bad_line_is_skipped_with_its_reason_and_the_run_goes_on(
    tmp_path: Path, tokenizer: PromptTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "PREFLIGHT_BYTES", 31)
    path = tmp_path / "a.jsonl"
    bad = ["no JSON", "[" * 100_000, '{"prompt": "1", "label": {}}', '{"prompt": null, "label": 1}']
    good = '{"prompt": "1", "label": "1"}'
    path.write_text("\n".join([good, good, *bad, good]) + "\n")
    drawn = source(tokenizer, str(path), shuffle=False).draw(7)
    reasons = [prompt.reason for _, prompt in drawn if isinstance(prompt, Skipped)]
    assert [ref.index for ref, prompt in drawn if isinstance(prompt, Skipped)] == [2, 3, 4, 5]
    for line, (reason, message) in enumerate(
        zip(
            reasons,
            [
                "found invalid JSON",
                "found JSON nested too deeply",
                "reward exact: the label is {}, a dict",
                "the prompt is a NoneType",
            ],
            strict=True,
        ),
        start=3,
    ):
        assert reason.startswith(f"{path}:{line}: {message}")


def test_what_is_read_before_the_start_has_to_be_right(
    tmp_path: Path, tokenizer: PromptTokenizer
) -> None:
    for bad in ({"prompt": "1", "label": [None]}, {"prompt": ["1"], "label": "1"}):
        path = write(tmp_path / "a.jsonl", [{"prompt": "1", "label": "1"}] * 50 + [bad])
        with pytest.raises(UsageError, match=r"a\.jsonl:51: "):
            source(tokenizer, path)


@pytest.mark.parametrize("change", ["another line", "another order"])
def test_a_resume_knows_its_data(tmp_path: Path, tokenizer: PromptTokenizer, change: str) -> None:
    path = Path(numbered(tmp_path / "a.jsonl", 20))
    begun = source(tokenizer, str(path))
    begun.draw(7)
    cursor = begun.save()
    again = source(tokenizer, str(path))
    again.load(cursor)
    assert again.draw(13)[0][0] == begun.draw(13)[0][0]
    lines = path.read_text().splitlines(keepends=True)
    changed = lines[1:] + lines[:1] if change == "another order" else [*lines[:19], lines[3]]
    path.write_text("".join(changed))
    with pytest.raises(UsageError) as error:
        source(tokenizer, str(path)).load(cursor)
    assert f"{path} is not what the checkpoint was made with" in str(error.value)
    assert "spec.data.allowChanged: true" in str(error.value)
    on_purpose = source(tokenizer, str(path), allow_changed=True)
    on_purpose.load(cursor)
    assert on_purpose.save()["position"] == 7
    assert on_purpose.files != begun.files


def test_a_directory_that_was_moved_holds_the_same_data(
    tmp_path: Path, tokenizer: PromptTokenizer
) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    cursor = source(tokenizer, numbered(first / "a.jsonl", 5)).save()
    first.rename(second)
    source(tokenizer, str(second / "a.jsonl")).load(cursor)
