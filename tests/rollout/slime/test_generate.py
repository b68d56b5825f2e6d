"""Generate functions of slime, played by a real player, gateway and host process."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rljob.api.rollout import SamplingSpec
from rljob.buffer.records import Group
from rljob.slime.arguments import arguments_of
from rljob_rollout.answer import Answer
from rljob_rollout.episodes.hosts import Hosts
from rljob_rollout.episodes.player import EpisodeError, Player
from rljob_rollout.generation import EngineClient
from rljob_rollout.tokenizer import ResponseTokenizer
from rljob_rollout.worker_metrics import WorkerMetrics
from tests.rollout.slime.scripted import VERSION, logprob, made, scripted_engine
from tests.rollout.spec import spec_of
from tests.support.job import write_task

TEXT = "4093>"
LENGTH = 4  # tokens of each turn


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("task")) / "model"


Plays = Callable[..., list[Any]]


@pytest.fixture
def play(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Plays:
    """Plays a group of two samples for each of the prompts' metadata: their answers or errors."""
    monkeypatch.syspath_prepend(Path(__file__).parent / "code")

    def run(name: str, *prompts: dict[str, Any], kind: str = "train") -> list[Any]:
        return asyncio.run(_played(checkpoint, name, prompts or ({},), kind))

    return run


async def _played(
    checkpoint: Path, name: str, prompts: tuple[dict[str, Any], ...], kind: Any
) -> list[Any]:
    hook = f"slime_hooks:{name}"
    spec = spec_of(
        checkpoint,
        rollout__generate=hook,
        rollout__episodes={"processes": 1, "contextTokens": 24, "retries": 0},
        rollout__slimeArguments={"max_turns": 2},
    )
    tokenizer = ResponseTokenizer(checkpoint)
    async with scripted_engine() as url:
        client = EngineClient(url, "", None, [], seeded=False, keeps_partial=False)
        hosts = Hosts(hook, spec.rollout.episodes, 0, arguments_of(spec))
        await hosts.start()
        player = Player(spec, hosts, client=client, tokenizer=tokenizer, metrics=WorkerMetrics())
        try:
            groups = (
                Group(
                    id=number,
                    incarnation=1,
                    kind=kind,
                    prompt=TEXT,
                    prompt_tokens=np.array(tokenizer.tokenizer.encode(TEXT), np.int32),
                    messages=None,
                    label="0349",
                    metadata={"source": f"train.jsonl:{number}", **metadata},
                    samples=2,
                    sampling=SamplingSpec(max_response_tokens=LENGTH).model_dump(),
                    rewards=[],
                    seed=1,
                )
                for number, metadata in enumerate(prompts)
            )
            return await asyncio.gather(*map(player.play, groups), return_exceptions=True)
        finally:
            await player.close()
            await client.close()


@pytest.fixture
def prompt(checkpoint: Path) -> list[int]:
    return ResponseTokenizer(checkpoint).tokenizer.encode(TEXT)


def test_a_single_turn_is_learned_as_the_engine_made_it(play: Plays, prompt: list[int]) -> None:
    (answers,) = play("single_turn")
    expected = made(prompt, LENGTH)
    for answer in answers:
        (trajectory,) = answer.trajectories
        segment = trajectory.segment
        assert trajectory.prompt is None
        assert segment.tokens.tolist() == expected
        assert segment.logprobs.tolist() == pytest.approx([logprob(token) for token in expected])
        assert segment.loss_mask.tolist() == [1] * LENGTH
        assert [(s.version, s.start, s.end) for s in segment.versions] == [(VERSION, 0, LENGTH)]
        assert (answer.status, answer.reward) == ("truncated", None)
        # What a reward needs comes along, as far as it is JSON.
        assert answer.metadata == {"version": str(VERSION), "attributes": {"kept": [1]}}


def test_a_tools_tokens_are_not_learned(play: Plays, prompt: list[int]) -> None:
    (answers,) = play("tool_loop", kind="evaluation")
    for answer in answers:
        (trajectory,) = answer.trajectories
        tokens, mask = trajectory.segment.tokens.tolist(), trajectory.segment.loss_mask.tolist()
        # Two turns with what the tool said between; after the last nothing is learned.
        assert mask == [1] * LENGTH + [0, 0] + [1] * LENGTH
        assert tokens[:LENGTH] == made(prompt, LENGTH)
        assert tokens[-LENGTH:] == made([*prompt, *tokens[:-LENGTH]], LENGTH)
        assert answer.metadata["evaluation"] is True
        assert answer.status == "truncated"


def test_texts_keep_the_engines_tokens(play: Plays, prompt: list[int]) -> None:
    (answers,) = play("by_text")
    for answer in answers:
        (trajectory,) = answer.trajectories
        assert trajectory.prompt is None
        assert trajectory.segment.loss_mask.tolist() == [1] * LENGTH + [0] + [1] * LENGTH
        assert answer.status == "completed"


def test_a_turn_that_was_cut_is_learned_as_far_as_it_was_kept(
    play: Plays, prompt: list[int]
) -> None:
    (answers,) = play("cuts_a_turn")
    first = made(prompt, 1)
    second = made([*prompt, *first, 9], LENGTH)
    for answer in answers:
        (trajectory,) = answer.trajectories
        segment = trajectory.segment
        assert trajectory.prompt is None
        assert segment.tokens.tolist() == [*first, 9, *second]
        assert segment.loss_mask.tolist() == [1, 0] + [1] * LENGTH
        expected = [logprob(first[0]), 0.0, *map(logprob, second)]
        assert segment.logprobs.tolist() == pytest.approx(expected)
        spans = [(s.version, s.start, s.end) for s in segment.versions]
        assert spans == [(VERSION, 0, 1), (VERSION, 2, 2 + LENGTH)]


FAULTS = {
    "retokenises": "returned a sample, but its tokens differ from the engine's at position 5",
    "learns the tool's": "tokens differ from the engine's at position 9",
    "learns the prompt": "loss_mask is 1 at position 0 of the tokens (0 of the response)",
    "short mask": "returned a loss_mask of 3 items; allowed: 4, the response_length",
    "fails": "returned a sample with the status FAILED",
    "forgets the tokens": "returned a sample without tokens; build it from",
    "returns a text": "allowed: the Sample, or a list of Samples",
    "reads what is not there": "args.search_url: the job has no value of this name",
    "asks for nonsense": "sampling_params.min_p: found 0.5; allowed: 0",
    "asks for the cache": "/retrieve_from_text: there is no such call; allowed: /generate",
    "earns a dict": "rollout.slimeArguments.reward_key is None; allowed: accuracy",
}


def test_what_a_function_does_wrong_fails_its_group(play: Plays) -> None:
    found = play("faulty", *({"fault": fault} for fault in FAULTS))
    for error, (fault, message) in zip(found, FAULTS.items(), strict=True):
        assert isinstance(error, EpisodeError), fault
        assert message in str(error)
        assert "rollout.generate: slime_hooks:faulty " in str(error)


def test_what_a_function_decides(play: Plays) -> None:
    masks, removed, earns = play(
        "faulty", {"fault": "masks"}, {"fault": "is removed"}, {"fault": "earns"}
    )

    def masked(answers: list[Answer]) -> list[list[int]]:
        return [answer.trajectories[0].segment.loss_mask.tolist() for answer in answers]

    assert masked(masks) == [[0, 1, 1, 1]] * 2
    assert masked(removed) == [[0, 0, 0, 0]] * 2
    assert [answer.reward for answer in earns] == [0.5, 0.5]


def test_several_samples_are_trajectories_of_one(play: Plays, prompt: list[int]) -> None:
    answers, earning = play("fans_out", {}, {"fault": "earns"})
    first = made(prompt, LENGTH)
    agent = made([*prompt[:2], 9], LENGTH)
    history = [*prompt, *first, 9]
    last = made(history, LENGTH)
    for answer in answers:
        segments = [one.segment for one in answer.trajectories]
        prompts = [
            one.prompt if one.prompt is None else one.prompt.tolist() for one in answer.trajectories
        ]
        assert prompts == [None, [*prompt[:2], 9], history]
        assert [segment.tokens.tolist() for segment in segments] == [first, agent, last]
        masks = [segment.loss_mask.tolist() for segment in segments]
        assert masks == [[1] * LENGTH, [1, 0] + [1] * (LENGTH - 2), [1] * LENGTH]
        assert [segment.versions[0].version for segment in segments] == [VERSION] * 3
        # The last is judged.
        assert answer.tokens == last
        assert answer.metadata == {"turn": [*history, *last]}
        assert (answer.status, answer.reward) == ("completed", None)
    assert [answer.reward for answer in earning] == [0.5, 0.5]


SEVERAL = {
    "learns twice": "returned sample 3 of 3, but its token at position 5 is learned in an earlier",
    "invents": "returned sample 2 of 3, but its tokens differ from the engine's at position",
    "earns differently": "returned samples with the rewards [None, None, 1.0]; allowed: the same",
    "nothing": "returned []; allowed: the Sample, or a list of Samples",
    "nests": "allowed: the Sample, or a list of Samples",
    "one fails": "returned a sample with the status FAILED",
}


def test_what_is_wrong_with_several_samples_fails_their_group(play: Plays) -> None:
    found = play("fans_out", *({"fault": fault} for fault in SEVERAL))
    for error, (fault, message) in zip(found, SEVERAL.items(), strict=True):
        assert isinstance(error, EpisodeError), fault
        assert message in str(error), fault
