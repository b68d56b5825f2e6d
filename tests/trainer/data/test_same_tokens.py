"""Models of one vocabulary: by their tokenizers, not by its size."""

import json
from pathlib import Path
from typing import Any

import pytest

from rljob.errors import UsageError
from rljob_trainer.data.same_tokens import check_same_tokens

FIELD = "spec.algorithm.distillation.teacher"


def model(directory: Path, vocabulary: Any, added: Any = ()) -> Path:
    directory.mkdir()
    content = {"model": {"vocab": vocabulary}, "added_tokens": list(added)}
    (directory / "tokenizer.json").write_text(json.dumps(content))
    return directory


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return model(tmp_path / "policy", {"a": 0, "b": 1}, [{"content": "<end>", "id": 2}])


def test_the_same_vocabulary_is_let_through(policy: Path, tmp_path: Path) -> None:
    in_another_order = [["a", -1.0], ["b", -2.0], ["<end>", 0.0]]
    check_same_tokens(FIELD, model(tmp_path / "teacher", in_another_order), policy)


@pytest.mark.parametrize("content", [None, "", "{}", '{"model": {}}', '{"model": {"vocab": 7}}'])
def test_what_has_no_tokenizer_is_not_compared(
    content: str | None, policy: Path, tmp_path: Path
) -> None:
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    if content is not None:
        (teacher / "tokenizer.json").write_text(content)
    check_same_tokens(FIELD, teacher, policy)


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        ({"a": 1, "b": 0, "<end>": 2}, r"where token 1 is 'a', allowed.*, where token 0 is 'a'"),
        ({"a": 0, "b": 1, "<stop>": 2}, r"where none is '<end>', allowed.*, where token 2 is"),
        ({"a": 0, "b": 1, "<end>": 2, "c": 3}, r"where token 3 is 'c', allowed.*none is 'c'"),
    ],
)
def test_another_one_is_refused(
    vocabulary: dict[str, int], message: str, policy: Path, tmp_path: Path
) -> None:
    teacher = model(tmp_path / "teacher", vocabulary)
    with pytest.raises(UsageError, match=rf"{FIELD}: found .*{message}"):
        check_same_tokens(FIELD, teacher, policy)
