"""Processes that read ahead change only the timing, and end when the trainer does."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from examples.sort_digits.prepare import write_tokenizer
from rljob.api.data import DataSpec
from rljob.api.reward import RewardSpec
from rljob.errors import UsageError
from rljob_trainer.data.ahead import DEPTH, ReadAhead
from rljob_trainer.data.jsonl import JsonlSource
from rljob_trainer.data.source import Skipped
from rljob_trainer.data.tokenizer import PromptTokenizer
from tests.support.waiting import wait_for
from tests.trainer.data.counting import Counting


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(directory)
    return directory


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    """Every seventh is too long."""
    lines = [
        {"prompt": "1" * (9 if n % 7 == 0 else 1 + n % 4), "label": n, "more": {"n": n}}
        for n in range(150)
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


class Sources:
    """Sources of one file, closed at the end of a test."""

    def __init__(self, model: Path, path: str) -> None:
        self._tokenizer = PromptTokenizer(model, chat=False)
        self._path = path
        self._opened: list[JsonlSource] = []

    def open(self, workers: int, **spec: Any) -> JsonlSource:
        source = JsonlSource(
            DataSpec(
                prompts=[self._path],
                max_prompt_tokens=4,
                skip_long_prompts=True,
                metadata_key="more",
                **spec,
            ),
            [self._path],
            self._tokenizer,
            3,
            Path(self._path).parent / "index",
            rewards=[RewardSpec(type="exact")],
            workers=workers,
        )
        self._opened.append(source)
        return source

    def close(self) -> None:
        for source in self._opened:
            source.close()


@pytest.fixture
def sources(model: Path, prompts: str) -> Iterator[Sources]:
    sources = Sources(model, prompts)
    yield sources
    sources.close()


def drawn(source: JsonlSource, count: int) -> list[Any]:
    return [
        (
            ref,
            prompt
            if isinstance(prompt, Skipped)
            else (prompt.text, prompt.tokens.tolist(), prompt.label, prompt.metadata),
        )
        for ref, prompt in source.draw(count)
    ]


@pytest.mark.parametrize("spec", [{}, {"shuffle_block": 16}, {"shuffle": False}])
def test_what_is_drawn_is_the_same(sources: Sources, spec: dict[str, Any]) -> None:
    alone, helped = sources.open(0, **spec), sources.open(3, **spec)
    chance = random.Random(1)
    for _ in range(40):
        count = chance.randrange(1, 30)
        assert drawn(helped, count) == drawn(alone, count)
        assert helped.save() == alone.save()
    assert helped.skipped == alone.skipped > 0


def test_cursor_tells_of_what_was_drawn_alone(sources: Sources) -> None:
    whole = drawn(sources.open(0), 400)
    begun = sources.open(2)
    drawn(begun, 130)
    assert begun.save()["position"] == 130  # although more has been read
    resumed = sources.open(2)
    resumed.load(begun.save())
    assert drawn(resumed, 100) == whole[130:230]
    # Also where something had been read ahead of another place.
    resumed.load(begun.save())
    assert drawn(resumed, 270) == whole[130:]


def test_mistake_in_the_data_comes_when_it_is_drawn(sources: Sources, prompts: str) -> None:
    late = Path(prompts).read_text().splitlines(keepends=True)
    late[20] = late[20].replace('"label"', '"lebal"')
    strict = {"shuffle": False, "max_bad_share": 0}
    alone, helped = sources.open(0, **strict), sources.open(2, **strict)
    # As by a copy that goes on: the checks of the beginning have been passed.
    Path(prompts).write_text("".join(late))
    assert drawn(helped, 20) == drawn(alone, 20)
    messages = []
    for source in (alone, helped):
        with pytest.raises(UsageError) as error:
            source.draw(1)
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert "a.jsonl:21: the key 'label' (spec.data.labelKey) is missing" in messages[0]


@pytest.fixture
def counting(tmp_path: Path) -> Iterator[tuple[Counting, ReadAhead[int]]]:
    counting = Counting(tmp_path / "asked")
    ahead = ReadAhead(counting, 2)
    yield counting, ahead
    ahead.close()


def test_so_much_is_read_ahead_and_no_more(counting: tuple[Counting, ReadAhead[int]]) -> None:
    function, ahead = counting
    for number in range(5):
        assert ahead.get(number) == number * number
    expected = list(range(4 + 2 * DEPTH))
    wait_for(lambda: function.asked == expected, "results ahead of the fifth")
    ahead.close()
    assert function.asked == expected


def test_fault_of_the_function_comes_with_its_place(
    counting: tuple[Counting, ReadAhead[int]],
) -> None:
    _, ahead = counting
    assert ahead.get(199) == 199 * 199
    with pytest.raises(RuntimeError, match=r"(?s)in __call__.*ZeroDivisionError: no number"):
        ahead.get(200)
    assert ahead.get(201) == 201 * 201


def children() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if "rljob_trainer.data.worker" in child.cmdline()
    ]


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_worker_that_dies_ends_the_trainer(counting: tuple[Counting, ReadAhead[int]]) -> None:
    _, ahead = counting
    ahead.get(0)
    for child in children():
        child.send_signal(signal.SIGKILL)
    with pytest.raises(RuntimeError, match=r"spec\.trainer\.dataWorkers\) ended with code -9"):
        for number in range(1, 99):
            ahead.get(number)


def test_workers_outlast_a_signal_to_all(counting: tuple[Counting, ReadAhead[int]]) -> None:
    _, ahead = counting
    for number in range(2):  # an answer of each: both listen to signals
        ahead.get(number)
    for child in children():
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGTERM)
    assert [ahead.get(number) for number in range(2, 99)] == [n * n for n in range(2, 99)]


def test_workers_know_nothing_of_torch(sources: Sources) -> None:
    source = sources.open(2)
    source.draw(100)
    for child in children():
        assert not [each.path for each in child.memory_maps() if "torch" in each.path]
        assert child.memory_info().rss < 300 * 2**20


def test_closing_ends_the_workers(sources: Sources) -> None:
    source = sources.open(2)
    source.draw(1)
    workers = children()
    assert len(workers) == 2
    source.close()
    assert not any(map(is_alive, workers))


ABANDONED = """
import os, signal, sys
from pathlib import Path
from rljob_trainer.data.ahead import ReadAhead
from tests.trainer.data.counting import Counting

ahead = ReadAhead(Counting(Path(sys.argv[1])), 2)
ahead.get(0)
if sys.argv[2] == "held":
    # A child that holds the trainer's ends of the lines, as those that write checkpoints do.
    if os.fork() == 0:
        signal.pause()
print(*(worker._process.pid for worker in ahead._workers), flush=True)
signal.pause()
"""


@pytest.mark.parametrize("line", ["free", "held"])
def test_killed_trainer_leaves_no_workers(tmp_path: Path, line: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ABANDONED, str(tmp_path / "asked"), line],
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as trainer:
        try:
            assert trainer.stdout is not None
            workers = [psutil.Process(int(pid)) for pid in trainer.stdout.readline().split()]
            assert len(workers) == 2
            trainer.kill()
            trainer.wait()
            wait_for(lambda: not any(map(is_alive, workers)), "the workers' end")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(trainer.pid, signal.SIGKILL)
