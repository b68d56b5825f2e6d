"""Sources written for slime: what becomes of their groups, how they resume, what they do wrong."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from examples.sort_digits.prepare import write_tokenizer
from rljob.api.data import DataSpec
from rljob.api.reward import RewardSpec
from rljob.errors import UsageError
from rljob.ledger.audit import audit
from rljob_trainer.data.custom import CustomSource
from rljob_trainer.data.source import Prompt
from rljob_trainer.data.tokenizer import PromptTokenizer
from tests.trainer.data.test_custom_run import BATCH, Run, shown

SAMPLES = 4

# As its users derive from slime's classes, in the order of their methods.
SOURCES = '''
import copy
import json
import os
import random

from slime.rollout.data_source import DataSource
from slime.utils.types import Sample


class Counting:
    """Neither saves nor loads."""

    def __init__(self, args):
        self.args = args
        self.next = args.begin

    def prompt(self):
        self.next += 1
        return Sample(prompt=f"{self.next}>", label=str(self.next), metadata={"n": self.next})

    def get_samples(self, num_samples):
        groups = []
        for _ in range(num_samples):
            sample = self.prompt()
            groups.append([copy.deepcopy(sample) for _ in range(self.args.n_samples_per_prompt)])
        return groups

    def add_samples(self, samples):
        raise RuntimeError("never called")


class Saving(Counting, DataSource):
    """Keeps its place as slime's own do, and would draw other prompts if it began anew."""

    def __init__(self, args):
        super().__init__(args)
        self.random = random.Random(os.urandom(8))
        self.queue = [str(self.random.randrange(10, 100)) for _ in range(1000)]

    def prompt(self):
        text = self.queue[self.next]
        self.next += 1
        return Sample(prompt=f"{text}>", label=text)

    def _path(self, root, rollout_id):
        return os.path.join(root, f"rollout/state_{rollout_id}.json")

    def save(self, rollout_id):
        path = self._path(self.args.save, rollout_id)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            json.dump({"next": self.next, "queue": self.queue}, file)

    def load(self, rollout_id=None):
        with open(self._path(self.args.load, rollout_id)) as file:
            state = json.load(file)
        self.next, self.queue = state["next"], state["queue"]

    def __len__(self):
        return len(self.queue)


class SavesNothing(Counting, DataSource):
    """Has the methods because slime's class wants them."""

    def save(self, rollout_id):
        pass

    def load(self, rollout_id=None):
        raise RuntimeError("there is nothing to load")

    def __len__(self):
        return 0


class Different(Counting):
    """Gives others each time."""

    def prompt(self):
        return Sample(prompt=os.urandom(4).hex().translate(str.maketrans("abcdef", "012345")))


class Wrong(Counting):
    def get_samples(self, num_samples):
        groups = super().get_samples(num_samples)
        match self.args.fault:
            case "nothing":
                return []
            case "too many":
                return groups * 2
            case "a tuple":
                return tuple(groups)
            case "samples":
                return groups[0]
            case "dicts":
                return [[sample.to_dict() for sample in group] for group in groups]
            case "too small":
                groups[0].pop()
            case "mixed":
                groups[0][2].prompt = "7>"
            case "answered":
                groups[0][0].response = "12"
            case "images":
                groups[0][0].multimodal_inputs = {"images": [b""]}
            case "no label":
                for sample in groups[0]:
                    sample.label = {1, 2}
            case "raises":
                raise KeyError("x")
        return groups


class NotASource:
    def __init__(self, args):
        pass


class OnlySaves(Counting):
    def save(self, rollout_id):
        pass


class Rendered(Counting):
    def prompt(self):
        assert self.args.apply_chat_template is False
        return Sample(prompt=[{"role": "user", "content": "12"}], label="12")
'''


@pytest.fixture(autouse=True)
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the user's module importable."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "slime_sources.py").write_text(SOURCES)
    monkeypatch.syspath_prepend(tmp_path / "code")


Opener = Callable[..., CustomSource]


@pytest.fixture
def opened(tmp_path: Path) -> Opener:
    """Opens a class of the module as a trainer that has just started."""
    write_tokenizer(tmp_path)

    def opened(name: str, fault: str = "", **spec: Any) -> CustomSource:
        return CustomSource(
            DataSpec(source=f"slime_sources:{name}", max_bad_share=0, **spec),
            PromptTokenizer(tmp_path, chat=False),
            1,
            rewards=[RewardSpec(type="own:reward")],
            arguments={"n_samples_per_prompt": SAMPLES, "begin": 10, "fault": fault},
            directory=tmp_path / "source",
        )

    return opened


def texts(source: CustomSource, count: int) -> list[tuple[int, str]]:
    drawn = source.draw(count)
    assert all(isinstance(prompt, Prompt) for _, prompt in drawn)
    return [(ref.index, prompt.text) for ref, prompt in drawn if isinstance(prompt, Prompt)]


def test_a_group_becomes_a_prompt(opened: Opener) -> None:
    """Whatever keys the job has for files."""
    drawn = opened("Counting", input_key="question").draw(2)
    (_, first), (_, second) = drawn
    assert isinstance(first, Prompt) and isinstance(second, Prompt)
    assert (first.text, first.label, first.metadata["n"]) == ("11>", "11", 11)
    assert first.metadata["source"] == "spec.data.source: slime_sources:Counting, prompt 0"
    assert (second.text, second.label, second.metadata["n"]) == ("12>", "12", 12)


def test_groups_that_end_are_not_given_back(opened: Opener) -> None:
    opened("Counting").end([])


@pytest.mark.parametrize("name", ["Counting", "Saving", "SavesNothing"])
def test_resumed_source_goes_on_with_the_next_prompt(
    opened: Opener, tmp_path: Path, name: str
) -> None:
    begun = opened(name)
    texts(begun, 5)
    texts(begun, 2)
    cursor = msgpack.unpackb(msgpack.packb(begun.save()))
    expected = texts(begun, 4)
    assert [index for index, _ in expected] == [7, 8, 9, 10]
    begun.save()  # of another place; the cursor's own files count
    resumed = opened(name)
    resumed.load(cursor)
    assert texts(resumed, 4) == expected


def test_other_prompts_than_before_are_refused(opened: Opener) -> None:
    begun = opened("Different")
    begun.draw(3)
    cursor = begun.save()
    with pytest.raises(UsageError) as raised:
        opened("Different").load(cursor)
    assert str(raised.value).startswith(
        "spec.data.source: slime_sources:Different gave other prompts than before when its first 3 "
        "were drawn again; allowed: the same prompts each time, or methods save and load"
    )


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nothing", ".get_samples(2) returned 0 groups; allowed: a list of 1 to 2 groups"),
        ("too many", ".get_samples(2) returned 4 groups; allowed: a list of 1 to 2 groups"),
        ("a tuple", ".get_samples(2) returned a tuple; allowed: a list of 1 to 2 groups"),
        ("samples", ".get_samples(2) returned 4 groups"),
        ("dicts", ".get_samples, group 0: found [{'group_index': None"),
        (
            "too small",
            ".get_samples, group 0: found 3 samples; allowed: 4 (spec.algorithm.samplesPerPrompt)",
        ),
        ("mixed", ".get_samples, group 0: found the prompts '11>' and '7>'; allowed: one prompt"),
        ("answered", ".get_samples, group 0: found a sample with the response '12'; allowed: sam"),
        ("images", ".get_samples, group 0: found multimodal_inputs; allowed: prompts of text al"),
        ("no label", ", prompt 0: Object of type set is not JSON serializable"),
        ("raises", ": get_samples raised KeyError: 'x'"),
    ],
)
def test_wrong_groups(opened: Opener, fault: str, message: str) -> None:
    source = opened("Wrong", fault)
    with pytest.raises(UsageError) as raised:
        source.draw(2)
    assert f"spec.data.source: slime_sources:Wrong{message}" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NotASource", " has no method get_samples; allowed: a class with it"),
        ("OnlySaves", " has only one of the methods save and load; allowed: both, or neither"),
    ],
)
def test_wrong_class(opened: Opener, name: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        opened(name)
    assert str(raised.value) == f"spec.data.source: slime_sources:{name}{message}"


def test_messages_need_the_chat_template(opened: Opener) -> None:
    """Which this tokenizer lacks; they reach the check that a file's would."""
    with pytest.raises(
        UsageError, match=r"prompt 0: the prompt is a list; allowed: a string \(mes"
    ):
        opened("Rendered").draw(1)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    run.close()


@pytest.mark.parametrize("name", ["Counting", "Saving"])
def test_resumed_run_is_the_same_run(run: Run, name: str) -> None:
    """Through the exchange, with a real server and a ledger that the audit proves."""
    source = f"slime_sources:{name}"
    arguments = {"begin": 10}
    run.start(source=source, rollout__slimeArguments=arguments)
    whole, saves = [], {}
    for rollout in range(1, 6):
        whole.append(shown(run.batch(rollout)))
        saves[rollout] = run.save()
    for begin in (1, 3):
        run.start(saves[begin], begin, source, rollout__slimeArguments=arguments)
        for rollout in range(begin + 1, 6):
            assert shown(run.batch(rollout)) == whole[rollout - 1]
            saves[rollout] = run.save()
    run.finish(5)
    found = audit(run.directory)
    assert found.violation is None
    assert found.books.given == 5 * BATCH
