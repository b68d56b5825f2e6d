"""Episodes of generate functions, with a real worker, engine and buffer."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rljob.buffer.records import Completion, Sample
from tests.rollout.code.play import TOOL
from tests.rollout.conftest import Scene, Trainer
from tests.rollout.test_worker import PROMPTS, reference_logprobs
from tests.support.engine import RunningEngine
from tests.support.job import manifest
from tests.support.valkey import ValkeyServer

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

FAULTS = {
    "raises": "play:play raised KeyError: 'answer' for train.jsonl:3 (attempts: 2)",
    "returns a text": "returned 'right'; allowed: None, a number, or a dict with",
    "returns NaN": "returned the reward nan; allowed: a finite number",
    "blocks": "blocked the event loop for 2 s at play.py:",
    "holds the GIL": "in faulty (rollout.episodes.blockSeconds); use `await context.tool(",
    "exits": "ended its process with exit code 3",
    "takes memory": "took more than 1Gi of memory (rollout.episodes.memory)",
    "asks for nonsense": "raised EngineError: 1 validation error for TurnSampling",
    "has no template": "raised EngineError: ",
}
FINE = 12
PLAYED = (
    "two_turns",
    "sub_agent",
    "for_ever",
    "catches_the_limit",
    "sleeps",
    "uses_a_tool",
    "openai_client",
    "with_a_wrong_key",
)


@pytest.fixture(scope="module")
def found(
    session_engine: RunningEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Completion]]:
    """The completions of all functions and faults, by name, of one worker."""
    directory: Path = tmp_path_factory.mktemp("episodes")
    asked = {name: {"metadata": {"play": name}} for name in PLAYED}
    for fault in [*FAULTS, "offers tools"]:
        metadata = {"play": "faulty", "fault": fault, "source": "train.jsonl:3"}
        asked[fault] = {"metadata": metadata, "samples": 2}
    for number in range(FINE):
        asked[f"fine {number}"] = {"metadata": {"play": "faulty"}, "samples": 2}

    def script(trainer: Trainer) -> dict[str, Completion]:
        trainer.publish()
        groups = enumerate(asked.values())
        trainer.admit([trainer.group(n, PROMPTS[0], **each) for n, each in groups])
        completions = trainer.completed(len(asked))
        return {name: completions[n] for n, name in enumerate(asked)}

    session_engine.reset()
    with pytest.MonkeyPatch.context() as patch, ValkeyServer(directory) as server:
        patch.syspath_prepend(Path(__file__).parent / "code")
        patch.syspath_prepend(manifest(session_engine.task)["spec"]["code"]["directory"])
        yield Scene(directory, server, session_engine).play(
            script,
            rollout__generate="play:play",
            rollout__episodes={
                "maxTurns": 3,
                "contextTokens": 64,
                "timeoutSeconds": 8,
                "blockSeconds": 2,
                "memory": "1Gi",
            },
        )


def samples(completion: Completion) -> tuple[Sample, ...]:
    assert completion.failure is None, completion.failure
    return completion.samples


def test_turns_are_one_trajectory_and_a_tools_tokens_are_not_learned(
    found: dict[str, Completion], engine: RunningEngine
) -> None:
    completion = found["two_turns"]
    assert len(samples(completion)) == 4
    for sample in completion.samples:
        (trajectory,) = sample.trajectories
        segment = trajectory.segment
        tokens, mask = segment.tokens.tolist(), segment.loss_mask.tolist()
        first = mask.index(0)
        assert trajectory.prompt is None
        assert tokens[first : first + 2] == TOOL
        assert mask == [1] * first + [0, 0] + [1] * (len(tokens) - first - 2)
        assert first >= 1 and len(tokens) > first + 2
        spans = [(span.version, span.start, span.end) for span in segment.versions]
        assert spans == [(0, 0, first), (0, first + 2, len(tokens))]
        expected = reference_logprobs(engine, PROMPTS[0], tokens)
        learned = segment.loss_mask > 0
        np.testing.assert_allclose(segment.logprobs[learned], expected[learned], atol=1e-4, rtol=0)
        assert (segment.logprobs[~learned] == 0).all()
        # The turn's reward is earned at its last token, and is part of the sample's.
        assert trajectory.rewards is not None
        assert np.flatnonzero(trajectory.rewards).tolist() == [first - 1]
        assert sample.reward >= 0.25
    assert len({tuple(s.segments[0].tokens.tolist()) for s in completion.samples}) > 1


def test_what_does_not_go_on_is_a_trajectory_of_the_same_sample(
    found: dict[str, Completion],
) -> None:
    for sample in samples(found["sub_agent"]):
        main, agent = sample.trajectories
        assert main.prompt is None
        assert agent.prompt is not None and agent.prompt.tolist() == TOOL
        assert 1 <= len(agent.segment) <= 2
        assert (sample.reward, sample.response) == (3.0, "done")
        assert sample.metadata == {"seen": len(agent.segment)}


def test_a_limit_is_a_status(found: dict[str, Completion]) -> None:
    for sample in samples(found["for_ever"]):
        assert sample.status == "truncated"
        assert len(sample.segments[0].versions) == 3
    for sample in samples(found["catches_the_limit"]):
        assert (sample.status, sample.reward) == ("truncated", 2.0)


def test_an_episode_out_of_time_is_truncated(found: dict[str, Completion]) -> None:
    assert {sample.status for sample in samples(found["sleeps"])} == {"truncated"}
    assert all(sample.tokens for sample in found["sleeps"].samples)


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_function_does_wrong_fails_its_group(
    fault: str, found: dict[str, Completion]
) -> None:
    failure = found[fault].failure
    assert failure is not None and FAULTS[fault] in failure
    assert not found[fault].failure_is_usage


def test_other_groups_do_not_suffer(found: dict[str, Completion]) -> None:
    for number in range(FINE):
        fine = samples(found[f"fine {number}"])
        assert [sample.reward for sample in fine] == [1.0, 1.0]


def test_tools_without_a_parser_are_the_users_mistake(found: dict[str, Completion]) -> None:
    completion = found["offers tools"]
    assert completion.failure is not None and completion.failure_is_usage
    assert "spec.rollout.sglang.tool_call_parser: found nothing" in completion.failure


def test_a_tool_runs_beside_the_event_loop(found: dict[str, Completion]) -> None:
    assert [sample.reward for sample in samples(found["uses_a_tool"])] == [1.0] * 4


def test_an_openai_client_plays_an_episode(found: dict[str, Completion]) -> None:
    for sample in samples(found["openai_client"]):
        main, second = sample.trajectories
        told = sample.metadata
        assert told["logprobs"] == pytest.approx(main.segment.logprobs.tolist())
        assert told["usage"] == len(main.segment) <= 3
        assert second.prompt is not None and second.prompt.tolist() == TOOL
        assert told["stream_usage"] == len(TOOL)
        assert isinstance(told["streamed"], str)
        assert told["models"] == ["policy"]
        assert "presence_penalty: found 0.5; allowed: to leave it out" in told["refused"]


def test_another_key_is_refused(found: dict[str, Completion]) -> None:
    for sample in samples(found["with_a_wrong_key"]):
        assert sample.metadata["status"] == 401
        assert "the key belongs to no episode that is being played" in sample.metadata["error"]


def test_a_slow_sample_does_not_hold_up_the_others(scene: Scene) -> None:
    def script(trainer: Trainer) -> dict[int, Completion]:
        trainer.publish()
        slow = trainer.group(0, PROMPTS[0], samples=1, metadata={"slow": True})
        others = [trainer.group(n, PROMPTS[0], samples=1) for n in range(1, 50)]
        trainer.admit([slow, *others])
        return trainer.completed(50)

    completions = scene.play(script, rollout__generate="play:slow_first")
    last = max(completions[number].finished for number in range(1, 50))
    assert last < completions[0].finished
