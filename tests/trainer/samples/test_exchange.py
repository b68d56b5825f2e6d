"""The trainer's end of the buffer against a real server, with a worker that answers at once."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from examples.sort_digits.prepare import write_prompts, write_tokenizer
from rljob.api import RLJob
from rljob.buffer.client import TrainerBuffer, WorkerBuffer
from rljob.buffer.records import Completion, Engine, Group, Lease
from rljob.errors import UsageError
from rljob.ledger.audit import audit
from rljob.telemetry.incident import Incidents
from rljob_trainer.algorithms.buffer_filter import load_buffer_filter
from rljob_trainer.algorithms.filter import load_filter
from rljob_trainer.data.opening import open_source
from rljob_trainer.data.tokenizer import PromptTokenizer
from rljob_trainer.files.journal import Journal
from rljob_trainer.process.stop import StopFlag
from rljob_trainer.samples.batch import batch_metrics
from rljob_trainer.samples.evaluation import Evaluation
from rljob_trainer.samples.evaluation_score import Score
from rljob_trainer.samples.exchange import Exchange
from rljob_trainer.samples.ledger import Ledger
from tests.support.job import manifest
from tests.support.valkey import ValkeyServer
from tests.support.waiting import wait_for
from tests.trainer.records import a_completion

ENGINE = Engine("rollout-0/1", "rollout-0", "http://127.0.0.1:1")
Answer = Callable[[Group], Completion]


class Worker:
    """Completes every group with what `answer` makes of it, from a thread of its own."""

    def __init__(self, server: ValkeyServer, key: str, answer: Answer) -> None:
        self._server, self._key, self._answer = server, key, answer
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._work()))
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    async def _work(self) -> None:
        buffer = WorkerBuffer(self._server.url, self._key, worker="rollout-0", lease_seconds=5)
        while not self._stop.is_set():
            await buffer.heartbeat(ENGINE, 10)
            leases: list[Lease] = await buffer.lease(ENGINE.id, 4)
            for lease in leases:
                answer = replace(
                    self._answer(lease.group),
                    group=lease.group.id,
                    incarnation=lease.group.incarnation,
                )
                await buffer.complete(lease, answer)
            if not leases:
                await buffer.wait(0.2)
        await buffer.close()


class Bench:
    """An exchange, its server and its worker."""

    def __init__(self, directory: Path, server: ValkeyServer) -> None:
        write_prompts(directory)
        model = directory / "model"
        model.mkdir()
        write_tokenizer(model)
        self._directory, self._server = directory, server
        self._workers: list[Worker] = []
        self.buffers: list[TrainerBuffer] = []
        self.ledger_file = directory / "ledger.jsonl"

    def exchange(
        self,
        answer: Answer,
        saved: dict[str, Any] | None = None,
        rollout: int = 0,
        **changes: Any,
    ) -> Exchange:
        """A trainer that begins, or resumes after `rollout` batches from what it has saved."""
        job = RLJob.model_validate(manifest(self._directory, **changes))
        buffer = TrainerBuffer(self._server.url, job.key)
        self.buffers.append(buffer)
        tokenizer = PromptTokenizer(self._directory / "model", chat=False)
        spec = job.spec
        exchange = Exchange(
            spec,
            buffer=buffer,
            source=open_source(spec, tokenizer, self._directory),
            ledger=Ledger(Journal(self.ledger_file), max_uses=spec.schedule.max_uses),
            group_filter=load_filter(spec.algorithm.filter, {}),
            buffer_filter=load_buffer_filter(spec.rollout.buffer_filter, {}),
            stop=StopFlag(),
            incidents=Incidents(self._directory),
            while_waiting=lambda: None,
        )
        exchange.start(0, rollout, saved)
        exchange.ledger.publish(exchange.first_version)
        self._workers.append(Worker(self._server, job.key, answer))
        buffer.set_version(0, [ENGINE.id])
        return exchange

    def stop_workers(self) -> None:
        """Ends them with what they are at."""
        for worker in self._workers:
            worker.close()
        self._workers = []

    def close(self) -> None:
        self.stop_workers()
        for buffer in self.buffers:
            buffer.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def bench(tmp_path: Path, server: ValkeyServer) -> Iterator[Bench]:
    bench = Bench(tmp_path, server)
    yield bench
    bench.close()


def rewarded(*rewards: float, version: int = 0) -> Completion:
    completion = a_completion(0, version)
    sample = completion.samples[0]
    samples = tuple(replace(sample, index=n, reward=r) for n, r in enumerate(rewards))
    return replace(completion, samples=samples)


def failed(reason: str, *, usage: bool = False) -> Completion:
    return replace(a_completion(0, 0), samples=(), failure=reason, failure_is_usage=usage)


def test_batches_are_the_groups_in_order(bench: Bench) -> None:
    exchange = bench.exchange(lambda _: rewarded(0.0, 1.0))
    first = exchange.collect()
    exchange.consume(first, 1)
    exchange.ledger.publish(1)
    second = exchange.collect()
    ids = [entry.group.id for entry in first + second]
    assert ids == list(range(1, 17))


def test_refused_groups_are_dropped_and_replaced(bench: Bench) -> None:
    exchange = bench.exchange(
        lambda group: rewarded(1.0, 1.0) if group.id % 3 == 0 else rewarded(0.0, 1.0),
        algorithm__filter="nonzero-std",
    )
    batch = exchange.collect()
    assert [entry.group.id for entry in batch] == [1, 2, 4, 5, 7, 8, 10, 11]
    assert exchange.ledger.dropped >= 3
    assert '"event":"drop","group":3,"reason":"filter nonzero-std"' in bench.ledger_file.read_text()


def test_groups_are_used_again_and_less_is_generated(bench: Bench) -> None:
    """Two versions of two batches each: a group is in the batches 1 and 2, or 3 and 4."""
    version = [0]
    exchange = bench.exchange(
        lambda group: rewarded(float(group.id == 3), 1.0, 1.0, 1.0, version=version[0]),
        schedule__rollouts=4,
        schedule__updateWeightsInterval=2,
        schedule__maxUses=2,
        algorithm__filter="nonzero-std",
    )
    batches = []
    for rollout in range(1, 5):
        batch = exchange.collect()
        batches.append([entry.group.id for entry in batch])
        assert batch_metrics(batch, 0)["groups/uses_mean"] == (1 if rollout % 2 else 2)
        exchange.consume(batch, rollout)
        if rollout % 2 == 0:
            version[0] = rollout // 2
            exchange.ledger.publish(version[0])
    first, second = [1, 2, 4, 5, 6, 7, 8, 9], list(range(10, 18))
    assert batches == [first, first, second, second]
    exchange.admit()
    assert exchange.ledger.next_group == 18  # the end of the run wants no more
    exchange.ledger.finish(4)
    found = audit(bench.ledger_file.parent)
    assert found.violation is None
    assert (found.books.consumed, found.books.uses, found.books.dropped) == (16, 32, 1)


def test_buffer_filter_chooses_among_all_that_are_completed(bench: Bench) -> None:
    """Three batches of 8, of which one stays free. Rewards of 0 and the id: later is better."""
    answered = threading.Semaphore(0)

    def answer(group: Group) -> Completion:
        answered.release()
        return rewarded(0.0, float(group.id))

    exchange = bench.exchange(answer, schedule__maxStaleness=2, rollout__bufferFilter="prioritized")
    exchange.admit()
    for _ in range(16):
        assert answered.acquire(timeout=30)
    wait_for(lambda: bench.buffers[0].occupancy().ready == 16, "completions", 30)
    first = exchange.collect()
    assert [entry.group.id for entry in first] == list(range(9, 17))
    exchange.consume(first, 1)
    exchange.ledger.publish(1)
    exchange.consume(exchange.collect(), 2)
    exchange.ledger.publish(2)
    exchange.consume(exchange.collect(), 3)  # by now the first are due
    text = bench.ledger_file.read_text()
    assert all(f'"consume","group":{group},' in text for group in range(1, 17))


def test_filter_that_refuses_everything_ends_the_run(bench: Bench, tmp_path: Path) -> None:
    """After an epoch in which no group passed."""
    lines = (tmp_path / "train.jsonl").read_text().splitlines()[:20]
    few = tmp_path / "few.jsonl"
    few.write_text("\n".join(lines))
    exchange = bench.exchange(
        lambda _: rewarded(1.0, 1.0), algorithm__filter="nonzero-std", data__prompts=[str(few)]
    )
    with pytest.raises(UsageError, match=r"filter: nonzero-std refused 20 groups in a row"):
        exchange.collect()


def test_failed_groups_are_dropped_with_their_reason(bench: Bench) -> None:
    exchange = bench.exchange(
        lambda group: failed("reward.py raised") if group.id == 2 else rewarded(0.0, 1.0)
    )
    batch = exchange.collect()
    assert [entry.group.id for entry in batch] == [1, 3, 4, 5, 6, 7, 8, 9]
    assert '"group":2,"reason":"reward.py raised"' in bench.ledger_file.read_text()


def test_a_reward_beyond_float32_drops_its_group(bench: Bench) -> None:
    exchange = bench.exchange(
        lambda group: rewarded(0.0, 1e39 if group.id == 2 else 1.0),
    )
    batch = exchange.collect()
    assert [entry.group.id for entry in batch] == [1, 3, 4, 5, 6, 7, 8, 9]
    reason = '"group":2,"reason":"reward of sample 1: found 1e+39, allowed: a number that is finite'
    assert reason in bench.ledger_file.read_text()


def test_a_reward_that_always_fails_ends_the_run(bench: Bench) -> None:
    exchange = bench.exchange(lambda _: failed("my:reward returned nan"))
    with pytest.raises(UsageError, match="8 groups in a row failed; the last: my:reward returned"):
        exchange.collect()


def test_the_users_mistake_ends_the_run_at_once_where_none_is_allowed(bench: Bench) -> None:
    exchange = bench.exchange(
        lambda _: failed("data.jsonl:7: the label is a list", usage=True), data__maxBadShare=0
    )
    with pytest.raises(UsageError, match=r"data\.jsonl:7: the label is a list"):
        exchange.collect()


def test_bad_prompts_are_dropped_with_their_reasons_up_to_the_bound(bench: Bench) -> None:
    """5 of 100 by default. Other groups between them: it is no failure in a row."""

    def answer(group: Group) -> Completion:
        if group.id % 3 == 1:
            return failed(f"data.jsonl:{group.id}: the label can't be read", usage=True)
        return rewarded(0.0, 1.0)

    exchange = bench.exchange(answer)
    batch = exchange.collect()
    assert [entry.group.id for entry in batch] == [2, 3, 5, 6, 8, 9, 11, 12]
    exchange.consume(batch, 1)
    for group in (1, 4, 7, 10):
        reason = f'"group":{group},"reason":"data.jsonl:{group}: the label can'
        assert reason in bench.ledger_file.read_text()
    exchange.ledger.publish(1)  # else no more may be admitted
    with pytest.raises(UsageError, match=r"data\.jsonl:16: .* is bad prompt number 6 of"):
        exchange.collect()


def test_server_that_lost_everything_is_filled_again(bench: Bench, server: ValkeyServer) -> None:
    answering = threading.Event()

    def answer(_: Group) -> Completion:
        answering.wait(30)
        return rewarded(0.0, 1.0)

    exchange = bench.exchange(answer)
    exchange.admit()
    server.restart(empty=True)
    answering.set()
    batch = exchange.collect()
    assert [entry.group.id for entry in batch] == list(range(1, 9))


def test_evaluation_runs_beside_training(bench: Bench) -> None:
    exchange = bench.exchange(lambda group: rewarded(float(group.id)))
    exchange.admit()
    template = next(iter(exchange.ledger.waiting()))
    asked = [replace(template, id=exchange.ledger.draw_id(), kind="evaluation") for _ in range(3)]
    completions = exchange.evaluate("held-out", asked)
    assert [c.group for c in completions] == [group.id for group in asked]
    assert [entry.group.id for entry in exchange.collect()] == list(range(1, 9))


def evaluation(bench: Bench, tmp_path: Path, **sampling: Any) -> Evaluation:
    """Four prompts, two samples each."""
    data_set = {
        "name": "held-out",
        "prompts": str(tmp_path / "held_out.jsonl"),
        "limit": 4,
        "samplesPerPrompt": 2,
        "sampling": sampling,
    }
    spec = RLJob.model_validate(manifest(tmp_path, evaluation=[data_set])).spec
    tokenizer = PromptTokenizer(tmp_path / "model", chat=False)
    return Evaluation(spec.evaluation[0], spec, tokenizer, tmp_path)


def answered(*samples: tuple[float, Any]) -> Completion:
    """Samples with a reward and the answer that it was given for."""
    completion = rewarded(*(reward for reward, _ in samples))
    with_answers = tuple(
        replace(sample, metadata={"answer": answer})
        for sample, (_, answer) in zip(completion.samples, samples, strict=True)
    )
    return replace(completion, samples=with_answers)


def test_the_numbers_of_an_evaluation(bench: Bench, tmp_path: Path) -> None:
    cut = answered((0.0, [1]), (0.0, [1]))
    answers = {
        1: failed("the engine refused it"),
        2: answered((1.0, "7"), (1.0, "7")),
        3: answered((0.0, "6"), (1.0, "7")),
        4: replace(cut, samples=(replace(cut.samples[0], status="truncated"), cut.samples[1])),
    }
    exchange = bench.exchange(lambda group: answers[group.id])
    result = evaluation(bench, tmp_path).run(exchange)
    # The prompts' mean rewards are 0, 1, 0.5 and 0: their variance is 0.6875 / 3.
    assert result.score == Score(
        reward=0.375,
        margin=pytest.approx(1.96 * (0.6875 / 3 / 4) ** 0.5),
        passes={1: 0.375, 2: 0.5},
        majority=(2, 0.375),
        length=2.0,
        truncated=pytest.approx(1 / 6),
    )
    assert (result.count, result.failed) == (8, ("the engine refused it",))


def test_an_evaluation_of_which_every_prompt_fails(bench: Bench, tmp_path: Path) -> None:
    exchange = bench.exchange(lambda _: failed("the engine refused it"))
    with pytest.raises(UsageError, match="all 4 prompts of 'held-out' failed; the last: the eng"):
        evaluation(bench, tmp_path).run(exchange)


def test_an_evaluation_samples_as_it_says_and_else_as_training(
    bench: Bench, tmp_path: Path
) -> None:
    asked = []

    def answer(group: Group) -> Completion:
        asked.append(group.sampling)
        return rewarded(0.0, 1.0)

    evaluation(bench, tmp_path, topK=20, stop=["\n"], ignoreEos=False).run(bench.exchange(answer))
    assert asked[0] == {
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 20,
        "max_response_tokens": 4,
        "stop": ["\n"],
        "stop_token_ids": [],
        "ignore_eos": False,
    }


def test_restart_publishes_the_same_version_again_unless_the_next_was_due(bench: Bench) -> None:
    exchange = bench.exchange(lambda _: rewarded(0.0, 1.0), schedule__updateWeightsInterval=2)
    assert exchange.first_version == 0
    exchange.consume(exchange.collect(), 1)
    assert exchange.first_version == 0  # in the middle of an interval
    exchange.consume(exchange.collect(), 2)
    assert exchange.first_version == 1
    exchange.ledger.publish(1)
    assert exchange.first_version == 1


def test_version_published_again_admits_no_more_than_before(bench: Bench) -> None:
    exchange = bench.exchange(lambda _: rewarded(0.0, 1.0), schedule__updateWeightsInterval=2)
    exchange.consume(exchange.collect(), 1)
    exchange.ledger.publish(0)
    assert exchange.ledger.uses_since_publish == 8
