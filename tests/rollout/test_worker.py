"""The worker with a real engine and a real buffer."""

import asyncio
import signal
import time

import numpy as np
import pytest
import structlog.testing
import torch
from prometheus_client import CollectorRegistry
from transformers import AutoModelForCausalLM

from rljob.buffer.client import WorkerBuffer
from rljob.buffer.records import Completion, Group, Partial, VersionSpan
from rljob_rollout.engine import EngineDiedError
from rljob_rollout.engine_metrics import EngineMetrics
from tests.rollout.conftest import Scene, Trainer
from tests.support.engine import RunningEngine
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

PROMPTS = [[7, 3, 12, 6, 14], [5, 5, 5, 5, 14], [4, 14], [11, 10, 9, 8, 14], [3, 14]]
NEW_VERSION = {"new_version": "1", "abort_all_requests": False}
LONG = {"max_response_tokens": 800, "ignore_eos": True}
GIVEN_UP = "gave up after {}: the worker was lost or its engine did not answer"


def reference_logprobs(engine: RunningEngine, prompt: list[int], response: list[int]) -> np.ndarray:
    """log p of each response token, by transformers."""
    model = AutoModelForCausalLM.from_pretrained(engine.task / "model", dtype=torch.float32)
    with torch.no_grad():
        logits = model(torch.tensor([prompt + response])).logits[0]
    logprobs = logits.log_softmax(-1)[len(prompt) - 1 : -1]
    return logprobs[torch.arange(len(response)), response].numpy()


def in_flight(trainer: Trainer) -> bool:
    return trainer.occupancy().leased > 0


def running(engine: RunningEngine) -> float | None:
    """Samples in generation, as the worker's metrics have it of the engine."""
    registry = CollectorRegistry()
    registry.register(EngineMetrics(engine.url))
    return registry.get_sample_value("rljob_engine_running_requests")


def wait_until_generating(engine: RunningEngine, before: float) -> None:
    """Waits for some tokens more than there were before."""
    wait_for(lambda: engine.generated() >= before + 100, "it generates")


def test_groups_are_completed_with_tokens_and_logprobs_of_the_engine(scene: Scene) -> None:
    def script(trainer: Trainer) -> dict[int, Completion]:
        trainer.publish()
        groups = [trainer.group(n, prompt) for n, prompt in enumerate(PROMPTS)]
        trainer.admit(groups)
        return trainer.completed(len(groups))

    before = time.time()
    found = scene.play(script)
    for number, prompt in enumerate(PROMPTS):
        completion = found[number]
        assert completion.failure is None
        assert completion.worker == "rollout-0"
        assert before < completion.leased <= completion.finished < time.time()
        assert [sample.index for sample in completion.samples] == [0, 1, 2, 3]
        for sample in completion.samples:
            (segment,) = sample.segments
            tokens = segment.tokens.tolist()
            expected = reference_logprobs(scene.engine, prompt, tokens)
            np.testing.assert_allclose(segment.logprobs, expected, atol=1e-4, rtol=0)
            assert segment.versions == (VersionSpan(0, 0, len(tokens)),)
            assert segment.loss_mask.tolist() == [1] * len(tokens)
            assert 0 <= sample.reward <= 1
    texts = [sample.response for c in found.values() for sample in c.samples]
    assert len(set(texts)) > len(texts) / 2  # drawn one by one
    # Both are special tokens; that which has ended a response is no part of its text.
    assert all("^" not in text for text in texts)
    padding = [s.segments[0].tokens.tolist().count(0) for c in found.values() for s in c.samples]
    assert [text.count("~") for text in texts] == padding
    assert sum(padding) > 0


def test_a_response_that_ends_by_itself_is_completed_and_another_truncated(scene: Scene) -> None:
    def script(trainer: Trainer) -> Completion:
        trainer.publish()
        sampling = {"max_response_tokens": 24}
        trainer.admit([trainer.group(0, PROMPTS[0], samples=64, sampling=sampling)])
        return trainer.completed(1)[0]

    end = 1  # "^" of the tokenizer and the model
    statuses = set()
    for sample in scene.play(script).samples:
        tokens = sample.segments[0].tokens.tolist()
        assert len(tokens) <= 24
        assert (tokens[-1] == end) == (sample.status == "completed")
        assert end not in tokens[:-1]
        statuses.add(sample.status)
    assert statuses == {"completed", "truncated"}


def test_sampling_at_another_temperature_and_greedy_in_one_request(scene: Scene) -> None:
    def script(trainer: Trainer) -> dict[int, Completion]:
        trainer.publish()
        trainer.admit(
            [
                trainer.group(0, PROMPTS[0], sampling={"temperature": 0.5}),
                trainer.group(1, PROMPTS[1], kind="evaluation", sampling={"temperature": 1.0}),
            ]
        )
        greedy = trainer.group(2, PROMPTS[2])
        greedy.sampling["temperature"] = 0.0  # as an evaluation may ask for
        trainer.admit([greedy])
        return trainer.completed(3)

    found = scene.play(script)
    assert all(completion.failure is None for completion in found.values())
    greedy = {tuple(sample.segments[0].tokens.tolist()) for sample in found[2].samples}
    assert len(greedy) == 1


def test_no_group_is_leased_before_the_engine_is_admitted(scene: Scene) -> None:
    def script(trainer: Trainer) -> tuple[int, int]:
        trainer.admit([trainer.group(0, PROMPTS[0])])
        wait_for(lambda: bool(trainer.engines()), "the engine is registered")
        trainer.set_version(1, [])  # published, but not to this engine
        waiting = trainer.occupancy().waiting
        trainer.set_engine_version(trainer.engines()[0].id, 1)
        return waiting, len(trainer.completed(1))

    assert scene.play(script) == (1, 1)


def test_weights_that_change_in_the_middle_show_in_the_spans(scene: Scene) -> None:
    def script(trainer: Trainer) -> Completion:
        trainer.publish()
        before = scene.engine.generated()
        trainer.admit([trainer.group(0, PROMPTS[0], sampling=LONG)])
        wait_until_generating(scene.engine, before)
        wait_for(lambda: running(scene.engine) == 4, "the engine tells of the samples")
        scene.engine.control("/pause_generation", {"mode": "retract"})
        scene.engine.control("/update_weight_version", NEW_VERSION)
        scene.engine.control("/continue_generation")
        return trainer.completed(1)[0]

    completion = scene.play(script, rollout__sampling__maxResponseTokens=800)
    for sample in completion.samples:
        first, second = sample.segments[0].versions
        assert (first.version, second.version) == (0, 1)
        assert (first.start, first.end, second.end) == (0, second.start, 800)


def test_what_a_pause_aborts_is_generated_again(scene: Scene) -> None:
    def script(trainer: Trainer) -> Completion:
        trainer.publish()
        before = scene.engine.generated()
        trainer.admit([trainer.group(0, PROMPTS[0], sampling=LONG)])
        wait_until_generating(scene.engine, before)
        scene.engine.control("/pause_generation", {"mode": "abort"})
        scene.engine.control("/update_weight_version", NEW_VERSION)
        scene.engine.control("/continue_generation")
        return trainer.completed(1)[0]

    completion = scene.play(script, rollout__sampling__maxResponseTokens=800)
    assert [sample.segments[0].versions for sample in completion.samples] == [
        (VersionSpan(1, 0, 800),)
    ] * 4
    assert [sample.status for sample in completion.samples] == ["completed"] * 4


def test_a_prompt_that_the_engine_refuses_fails_alone(scene: Scene) -> None:
    def script(trainer: Trainer) -> dict[int, Completion]:
        trainer.publish()
        trainer.admit([trainer.group(0, PROMPTS[0]), trainer.group(1, [5] * 1100)])
        return trainer.completed(2)

    found = scene.play(script)
    assert found[0].failure is None
    assert found[1].failure_is_usage
    assert "train.jsonl:1: the engine refuses the prompt: 400" in found[1].failure
    assert "1100 tokens" in found[1].failure


def test_a_failing_reward_is_tried_again_and_then_named(scene: Scene) -> None:
    def script(trainer: Trainer) -> dict[int, Completion]:
        trainer.publish()
        trainer.admit(
            [
                trainer.group(0, PROMPTS[0], reward={"type": "odd_rewards:raises", "retries": 1}),
                trainer.group(1, PROMPTS[0], reward={"type": "odd_rewards:nan", "retries": 0}),
                trainer.group(2, PROMPTS[0], reward={"type": "exact"}, label=[None]),
                trainer.group(3, PROMPTS[0]),
            ]
        )
        return trainer.completed(4)

    found = scene.play(script)
    assert "reward odd_rewards:raises: raised KeyError: 'answer'" in found[0].failure
    assert "(train.jsonl:0) (attempts: 2)" in found[0].failure
    assert "reward odd_rewards:nan: returned nan" in found[1].failure
    assert found[2].failure.startswith("train.jsonl:2: reward exact: the label is [None], a list")
    assert [found[n].failure_is_usage for n in range(4)] == [False, False, True, False]
    assert found[3].failure is None
    assert not found[0].samples


def test_a_stop_gives_groups_back_and_takes_the_engine_out(scene: Scene) -> None:
    def script(trainer: Trainer) -> None:
        trainer.publish()
        before = scene.engine.generated()
        trainer.admit([trainer.group(n, PROMPTS[0], sampling=LONG) for n in range(3)])
        wait_until_generating(scene.engine, before)

    scene.play(script, rollout__sampling__maxResponseTokens=800)
    with scene.server.client() as client:
        entries = client.xpending_range("{default/small}:train", "workers", "-", "+", 10)
        assert {entry["consumer"] for entry in entries} == {b"released"}
        assert client.hlen("{default/small}:engines") == 0


def test_a_stopped_worker_hands_on_what_it_has_generated(scene: Scene) -> None:
    """The next worker goes on: the tokens keep the weights that made them."""

    def begin(trainer: Trainer) -> None:
        trainer.publish()
        before = scene.engine.generated()
        trainer.admit([trainer.group(0, PROMPTS[0], sampling=LONG)])
        wait_until_generating(scene.engine, before)

    def go_on(trainer: Trainer) -> Completion:
        lease_elsewhere(scene, trainer, trainer.group(0, PROMPTS[0], sampling=LONG), handed)
        scene.engine.control("/update_weight_version", NEW_VERSION)
        trainer.publish(1)
        return trainer.completed(1)[0]

    partial = {"rollout__partial": True, "rollout__sampling__maxResponseTokens": 800}
    scene.play(begin, **partial)
    with scene.server.client() as client:
        (record,) = client.hvals("{default/small}:partials")
    handed = Partial.unpack(record)
    assert len(handed.responses) == 4
    with structlog.testing.capture_logs() as logs:
        completion = scene.play(go_on, **partial)
    told = [each["tokens"] for each in logs if each["event"] == "group.continued"]
    assert told == [sum(len(begun) for begun in handed.responses)]
    for sample, begun in zip(completion.samples, handed.responses, strict=True):
        (whole,), length = sample.segments, len(begun)
        assert 0 < length < 800
        assert whole.tokens[:length].tolist() == begun.segment.tokens.tolist()
        assert whole.logprobs[:length].tolist() == begun.segment.logprobs.tolist()
        assert whole.versions == (VersionSpan(0, 0, length), VersionSpan(1, length, 800))
        expected = reference_logprobs(scene.engine, PROMPTS[0], whole.tokens.tolist())
        np.testing.assert_allclose(whole.logprobs, expected, atol=1e-4, rtol=0)


def test_the_worker_ends_when_the_run_is_finished(scene: Scene) -> None:
    def script(trainer: Trainer) -> None:
        trainer.publish()
        trainer.set_phase("finished")
        # Only then does the scene ask for a stop.
        wait_for(lambda: not trainer.engines(), "the worker has left")

    scene.play(script)


def test_groups_of_a_trainer_that_was_replaced_are_let_go(scene: Scene) -> None:
    def script(trainer: Trainer) -> Completion:
        trainer.publish()
        before = scene.engine.generated()
        trainer.admit([trainer.group(0, PROMPTS[0], sampling=LONG, samples=8)])
        wait_until_generating(scene.engine, before)
        scene.engine.control("/pause_generation", {"mode": "retract"})
        trainer.incarnation = trainer.start(trainer.incarnation)
        # Only one group fits in hand: the new one is leased once the old one is let go.
        trainer.admit([trainer.group(0, PROMPTS[1])])
        trainer.publish()
        wait_for(lambda: in_flight(trainer), "the new group is leased")
        scene.engine.control("/continue_generation")
        return trainer.completed(1)[0]

    completion = scene.play(
        script, rollout__maxConcurrentGroups=1, rollout__sampling__maxResponseTokens=800
    )
    assert completion.incarnation == 2
    assert completion.failure is None
    assert len(completion.samples) == 4


def test_groups_of_an_engine_that_an_update_left_out_go_to_others(scene: Scene) -> None:
    """It may be paused for as long as it is not caught up: its group must not wait for that."""

    def script(trainer: Trainer) -> Completion:
        trainer.publish()
        before = scene.engine.generated()
        trainer.admit([trainer.group(0, PROMPTS[0], sampling=LONG)])
        wait_until_generating(scene.engine, before)
        scene.engine.control("/pause_generation", {"mode": "retract"})
        trainer.set_version(1, [])
        wait_for(lambda: trainer.occupancy().waiting == 1, "the group is given back")
        scene.engine.control("/update_weight_version", NEW_VERSION)
        scene.engine.control("/continue_generation")
        trainer.set_engine_version(trainer.engines()[0].id, 1)
        return trainer.completed(1)[0]

    completion = scene.play(script, rollout__sampling__maxResponseTokens=800)
    assert [sample.segments[0].versions for sample in completion.samples] == [
        (VersionSpan(1, 0, 800),)
    ] * 4


def test_a_silent_engine_is_retired_and_comes_back_as_another(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rljob_rollout.worker._SILENT_SECONDS", 2.0)
    monkeypatch.setattr("rljob_rollout.pulse._ANSWER_SECONDS", 1.0)

    def script(trainer: Trainer) -> tuple[str, str, Completion]:
        trainer.publish()
        (first,) = trainer.engines()
        before = scene.engine.generated()
        trainer.admit([trainer.group(0, PROMPTS[0], sampling=LONG)])
        wait_until_generating(scene.engine, before)
        scene.engine.signal(signal.SIGSTOP)
        try:
            wait_for(lambda: trainer.occupancy().waiting == 1, "the group is given back")
            wait_for(lambda: not trainer.engines(), "the engine is retired")
        finally:
            scene.engine.signal(signal.SIGCONT)
        wait_for(lambda: bool(trainer.engines()), "the engine is registered again")
        (second,) = trainer.engines()
        trainer.set_engine_version(second.id, 0)
        return first.id, second.id, trainer.completed(1)[0]

    first, second, completion = scene.play(script, rollout__sampling__maxResponseTokens=800)
    assert first != second
    assert completion.failure is None


def test_an_engine_that_never_answers_again_is_given_up(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rljob_rollout.worker._SILENT_SECONDS", 1.0)
    monkeypatch.setattr("rljob_rollout.worker._HUNG_SECONDS", 3.0)
    monkeypatch.setattr("rljob_rollout.pulse._ANSWER_SECONDS", 1.0)

    def script(trainer: Trainer) -> None:
        trainer.publish()
        scene.engine.signal(signal.SIGSTOP)
        time.sleep(15)  # else the worker would be told to stop before it gives up

    try:
        with pytest.raises(EngineDiedError, match="no answer for"):
            scene.play(script)
    finally:
        scene.engine.signal(signal.SIGCONT)


def test_a_group_that_a_worker_was_lost_with_too_often_is_dropped_with_the_reason(
    scene: Scene,
) -> None:
    def script(trainer: Trainer) -> Completion:
        lease_elsewhere(scene, trainer, trainer.group(0, PROMPTS[0]))
        trainer.publish()
        return trainer.completed(1)[0]

    found = scene.play(script, rollout__leaseSeconds=1, rollout__attempts=1)
    assert found.failure == GIVEN_UP.format("1 attempt")
    assert not found.failure_is_usage


def test_a_group_that_is_not_generated_in_time_is_asked_again_and_then_dropped(
    scene: Scene,
) -> None:
    """The engine is paused, and lives: only the deadline of the request ends it."""

    def script(trainer: Trainer) -> Completion:
        trainer.publish()
        scene.engine.control("/pause_generation", {"mode": "in_place"})
        trainer.admit([trainer.group(0, PROMPTS[0])])
        try:
            return trainer.completed(1)[0]
        finally:
            scene.engine.control("/continue_generation")

    found = scene.play(script, rollout__generationTimeoutSeconds=1, rollout__attempts=2)
    assert found.failure == GIVEN_UP.format("2 attempts")
    assert not found.failure_is_usage


def lease_elsewhere(
    scene: Scene, trainer: Trainer, group: Group, partial: Partial | None = None
) -> None:
    """Another worker leases the group before; it is lost, or gives it back with what it has."""

    async def lease() -> None:
        other = WorkerBuffer(scene.server.url, trainer.job.key, worker="other", lease_seconds=1)
        (leased,) = await other.lease("other/e", 1)
        if partial is not None:
            await other.release(leased, partial)
        await other.close()

    trainer.set_version(0, ["other/e"])
    trainer.admit([group])
    asyncio.run(lease())
