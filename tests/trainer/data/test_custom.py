"""Custom sources: what they are asked, what is saved of them, and every way they can be wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from examples.sort_digits.prepare import write_tokenizer
from rljob.api.data import DataSpec
from rljob.api.reward import RewardSpec
from rljob.errors import UsageError
from rljob_trainer.data.custom import CustomSource
from rljob_trainer.data.source import PromptRef, Skipped
from rljob_trainer.data.tokenizer import PromptTokenizer

TEN = [{"prompt": f"{n}>", "label": str(n), "more": {"n": n}} for n in range(10)]


class Own:
    """Counts up; remembers what it is told."""

    def __init__(self, data: DataSpec, seed: int) -> None:
        self.data, self.seed = data, seed
        self.next = 100 * seed
        self.asked: list[int] = []

    def get_samples(self, count: int) -> Any:
        self.asked.append(count)
        self.next += count
        return [{"prompt": f"{n}>", "label": n} for n in range(self.next - count, self.next)]

    def save(self) -> Any:
        return {"next": self.next, 7: b"bytes"}

    def load(self, state: Any) -> None:
        assert state == {"next": state["next"], 7: b"bytes"}
        self.next = state["next"]


def giving(method: str, value: object) -> type:
    """A class, one of whose methods always returns the same."""
    return type("Giving", (Own,), {method: lambda *_: value})


def repeating(*records: object) -> type:
    """A class that gives the same prompts again and again."""
    return type("Repeating", (Own,), {"get_samples": lambda _, count: list(records[:count])})


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PromptTokenizer:
    directory = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(directory)
    return PromptTokenizer(directory, chat=False)


Opener = Callable[..., CustomSource]


@pytest.fixture
def opened(tokenizer: PromptTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opener:
    """Opens a class as the user's module has it."""

    def opened(cls: Any, seed: int = 1, **spec: Any) -> CustomSource:
        monkeypatch.setitem(globals(), "given", cls)
        return CustomSource(
            DataSpec(source=f"{__name__}:given", **spec),
            tokenizer,
            seed,
            rewards=[RewardSpec(type="own:reward")],
            arguments={},
            directory=tmp_path,
        )

    return opened


def test_it_is_asked_for_what_is_missing(opened: Opener) -> None:
    source = opened(Own, seed=2)
    drawn = source.draw(3) + source.draw(1)
    assert [ref for ref, _ in drawn] == [PromptRef(0, n) for n in range(4)]
    assert [prompt.text for _, prompt in drawn if prompt] == ["200>", "201>", "202>", "203>"]
    assert [prompt.label for _, prompt in drawn if prompt] == [200, 201, 202, 203]
    first = drawn[0][1]
    assert first is not None
    assert first.tokens.tolist() == [5, 3, 3, 15]
    assert first.metadata["source"].endswith(":given, prompt 0")
    assert source.prompts is None


def test_it_may_give_fewer(opened: Opener) -> None:
    source = opened(repeating(*TEN), metadata_key="more")
    assert len(source.draw(30)) == 10
    _, prompt = source.draw(1)[0]
    assert prompt is not None
    assert prompt.metadata["n"] == 0


def test_it_gets_the_jobs_data_and_seed(opened: Opener) -> None:
    made = []

    class Noting(Own):
        def __init__(self, data: DataSpec, seed: int) -> None:
            super().__init__(data, seed)
            made.append(self)

    opened(Noting, seed=5, prompts=["/a.jsonl"], input_key="question")
    assert made[0].seed == 5
    assert made[0].data.prompts == ["/a.jsonl"]
    assert made[0].data.input_key == "question"


def test_resumed_source_goes_on_with_the_next_prompt(opened: Opener) -> None:
    begun = opened(Own)
    begun.draw(7)
    cursor = msgpack.unpackb(msgpack.packb(begun.save()))
    resumed = opened(Own)
    resumed.load(cursor)
    ours, theirs = resumed.draw(4), begun.draw(4)
    assert (
        [ref for ref, _ in ours]
        == [ref for ref, _ in theirs]
        == [PromptRef(0, n) for n in range(7, 11)]
    )
    assert [p and p.text for _, p in ours] == [p and p.text for _, p in theirs]


def test_long_prompts_are_skipped_and_counted(opened: Opener) -> None:
    long = repeating({"prompt": "12345>", "label": 1}, {"prompt": "1>", "label": 1})
    source = opened(long, max_prompt_tokens=3, skip_long_prompts=True)
    assert [(ref.index, isinstance(prompt, Skipped)) for ref, prompt in source.draw(2)] == [
        (0, True),
        (1, False),
    ]
    assert source.skipped == 1
    with pytest.raises(UsageError, match=r"given, prompt 0: the prompt has 6 tokens; allowed: 3"):
        opened(long, max_prompt_tokens=3, max_bad_share=0).draw(1)


def test_only_long_prompts_is_an_error_not_a_loop(opened: Opener) -> None:
    long = repeating({"prompt": "12345>", "label": 1})
    source = opened(long, max_prompt_tokens=3, skip_long_prompts=True)
    with pytest.raises(UsageError, match="the last 10000 prompts are longer than 3 tokens"):
        for _ in range(10_001):
            source.draw(1)


def test_what_it_has_given_it_can_not_change(opened: Opener) -> None:
    label, inner = [1], [1]
    changing = repeating({"prompt": "1>", "label": label, "more": {"a": inner}})
    _, prompt = opened(changing, metadata_key="more").draw(1)[0]
    label.append(2)
    inner.append(2)
    assert prompt is not None
    assert (prompt.label, prompt.metadata["a"]) == ([1], [1])


def failing(method: str) -> type:
    def fail(*_: object) -> None:
        raise KeyError("x")

    return type("Failing", (Own,), {method: fail})


class NoSave:
    def __init__(self, data: DataSpec, seed: int) -> None:
        pass

    def get_samples(self, count: int) -> Any:
        return TEN[:count]


class NoLoad(NoSave):
    def save(self) -> None:
        pass


class NoSeed(Own):
    def __init__(self, data: DataSpec) -> None:
        super().__init__(data, 1)


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (len, "is a builtin_function_or_method, not a class; allowed: \"module:Class\""),
        (type("Bare", (), {"__init__": Own.__init__}), "has no method get_samples; allowed: a"),
        (NoSave, "has no method save; allowed: a class with get_samples, save, load, and add_"),
        (NoLoad, "has no method load"),
        (type("Odd", (Own,), {"load": 3}), "has no method load"),
        (NoSeed, "its __init__(data, seed) raised TypeError: "),
        (failing("__init__"), "its __init__(data, seed) raised KeyError: 'x'"),
        (failing("save"), "save raised KeyError: 'x'"),
        (giving("save", {1, 2}), "save returned what a checkpoint can't keep: can not serialize"),
        (giving("save", np.int64(3)), "'numpy.int64'"),
        (giving("save", 2**70), "allowed: None, bool, int, float, str, bytes, and lists and"),
    ],
)  # fmt: skip
def test_wrong_class(opened: Opener, cls: Any, message: str) -> None:
    with pytest.raises(UsageError) as error:
        opened(cls)
    assert str(error.value).startswith("spec.data.source: ")
    assert ":given" in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (failing("get_samples"), ": get_samples raised KeyError: 'x'"),
        (giving("get_samples", None), "(2) returned a NoneType; allowed: a list of 1 to 2 dicts"),
        (giving("get_samples", iter(TEN)), "(2) returned a list_iterator; allowed: a list of 1"),
        (giving("get_samples", []), "(2) returned 0 prompts; allowed: a list of 1 to 2 dicts"),
        (giving("get_samples", TEN), "(2) returned 10 prompts; allowed: a list of 1 to 2 dicts"),
        (giving("get_samples", ["1>"]), ", prompt 0: found a str; allowed: a dict"),
        (giving("get_samples", [{"prompt": "1>"}]), "prompt 0: the key 'label' (spec.data.labelK"),
        (giving("get_samples", [{"prompt": 1, "label": 1}]), "prompt 0: the prompt is a int"),
        (
            giving("get_samples", [{"prompt": "1", "label": {1}}]),
            "Object of type set is not JSON serializable; allowed: what JSON can represent",
        ),
        (
            giving("get_samples", [TEN[0], {"prompt": "1", "label": 1, "more": 3}]),
            "prompt 1: 'more' (spec.data.metadataKey) is a int; allowed: an object",
        ),
    ],
)
def test_wrong_prompts(opened: Opener, cls: Any, message: str) -> None:
    source = opened(cls, metadata_key="more", max_bad_share=0)
    with pytest.raises(UsageError) as error:
        source.draw(2)
    assert str(error.value).startswith("spec.data.source: ")
    assert ":given" in str(error.value)
    assert message in str(error.value)


def test_state_that_it_does_not_take(opened: Opener) -> None:
    source = opened(failing("load"))
    with pytest.raises(UsageError, match=r"given: load raised KeyError: 'x'"):
        source.load(source.save())


def test_end_that_it_does_not_take(opened: Opener) -> None:
    with pytest.raises(UsageError, match=r"given: add_samples raised KeyError: 'x'"):
        opened(failing("add_samples")).end([])


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        ("no_such_module:Source", "cannot load 'no_such_module:Source': ModuleNotFoundError"),
        (f"{__name__}:Nothing", "AttributeError: module"),
    ],
)
def test_class_that_is_not_there(
    tokenizer: PromptTokenizer, tmp_path: Path, hook: str, message: str
) -> None:
    with pytest.raises(UsageError) as error:
        CustomSource(
            DataSpec(source=hook),
            tokenizer,
            1,
            rewards=[RewardSpec(type="own:reward")],
            arguments={},
            directory=tmp_path,
        )
    assert message in str(error.value)
    assert 'allowed: "module:Class" on PYTHONPATH' in str(error.value)


def test_keys_are_those_of_the_job(opened: Opener) -> None:
    named = repeating({"q": "1>", "a": 4, "m": {"k": (1, 2)}, "not for us": object()})
    _, prompt = opened(named, input_key="q", label_key="a", metadata_key="m").draw(1)[0]
    assert prompt is not None
    assert (prompt.text, prompt.label) == ("1>", 4)
    assert prompt.metadata["k"] == [1, 2]
    assert json.dumps(prompt.metadata)
