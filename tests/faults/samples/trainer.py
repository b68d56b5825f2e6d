"""A trainer without a model: the real exchange, ledger and checkpoints.

Publishing is a request to each engine. Every token that is consumed is compared with the
engine's known answer to its prompt.
"""

import time
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import httpx
import msgpack

from rljob.buffer.client import TrainerBuffer
from rljob.buffer.records import Engine
from rljob.ledger.audit import LEDGER
from rljob.plan.environment import RoleEnvironment
from rljob.telemetry.incident import Incidents
from rljob_rollout.generation import sample_seed
from rljob_trainer.algorithms.buffer_filter import load_buffer_filter
from rljob_trainer.algorithms.filter import load_filter
from rljob_trainer.checkpoints.checkpoint import POLICY, Checkpoints, pack
from rljob_trainer.data.opening import open_source
from rljob_trainer.data.tokenizer import PromptTokenizer
from rljob_trainer.files.journal import Journal
from rljob_trainer.process.stop import StopFlag, StoppedError
from rljob_trainer.samples.exchange import Exchange
from rljob_trainer.samples.incarnation import IncarnationFile
from rljob_trainer.samples.ledger import Ledger, OpenGroup
from tests.faults.samples.engine import answer, logprob
from tests.faults.samples.role import STOPPED

_ENGINE_SECONDS = 0.5  # an engine that takes longer is left out


class WrongAnswerError(Exception):
    """A consumed sample is not the answer to its group's prompt."""


class Trainer:
    """One process of a run: from its newest checkpoint to its end, or until it is stopped."""

    def __init__(self, environment: RoleEnvironment, trained: "Synchronized[int]") -> None:
        self._spec = environment.job().spec
        run_dir = Path(environment.run_dir)
        self._trained = trained
        self._stop = StopFlag().listen()
        self._buffer = TrainerBuffer(environment.buffer_url, environment.job().key)
        self._journal = Journal(run_dir / LEDGER)
        self._checkpoints = Checkpoints(run_dir / "checkpoints", keep_last=3)
        self._incarnation = IncarnationFile(run_dir)
        self._client = httpx.Client(timeout=_ENGINE_SECONDS, trust_env=False)
        self._holders: set[str] = set()
        self._rollout = 0
        self._version = -1
        self._updates = 0  # that were tried
        tokenizer = PromptTokenizer(Path(self._spec.model.checkpoint), chat=False)
        self._exchange = Exchange(
            self._spec,
            buffer=self._buffer,
            source=open_source(self._spec, tokenizer, run_dir),
            ledger=Ledger(self._journal, max_uses=self._spec.schedule.max_uses),
            group_filter=load_filter(self._spec.algorithm.filter, {}),
            buffer_filter=load_buffer_filter(self._spec.rollout.buffer_filter, {}),
            stop=self._stop,
            incidents=Incidents(run_dir),
            while_waiting=self._catch_up,
        )

    def run(self, allowed: "Synchronized[int]") -> None:
        """Trains; a batch takes until it is among the `allowed` ones."""
        self._start()
        try:
            self._publish(self._exchange.first_version)
            while self._rollout < self._spec.schedule.rollouts:
                batch = self._exchange.collect()
                for entry in batch:
                    _check(entry)
                self._rollout += 1
                self._exchange.consume(batch, self._rollout)
                self._trained.value = self._rollout
                while self._rollout >= allowed.value:
                    self._stop.wait(0.02)
                self._publish(self._exchange.ledger.version + 1)
                if self._rollout % self._spec.schedule.save_interval == 0:
                    self._save()
            self._exchange.ledger.finish(self._rollout)
            self._buffer.set_phase("finished")
        except StoppedError:
            self._save()
            raise

    def _start(self) -> None:
        checkpoint = self._checkpoints.newest()
        state: dict[str, Any] = checkpoint.state() if checkpoint else {"offset": 0}
        self._rollout = checkpoint.rollout if checkpoint else 0
        self._journal.rewind(state["offset"])
        self._exchange.start(self._incarnation.read(), self._rollout, state.get("exchange"))
        self._incarnation.write(self._exchange.incarnation)
        self._trained.value = self._rollout

    def _save(self) -> None:
        partial = self._checkpoints.begin(self._rollout, [POLICY])
        (partial / POLICY / "weights").write_bytes(msgpack.packb(self._rollout) * 10_000)
        exchange = self._exchange.save()
        offset = self._journal.sync()
        self._checkpoints.commit(partial, pack({"offset": offset, "exchange": exchange}))

    def _publish(self, version: int) -> None:
        self._version = version
        self._holders = set()
        while not self._holders:
            self._stop.check()
            for engine in self._buffer.engines():
                self._bring(engine)
            if not self._holders:
                time.sleep(0.05)
        self._buffer.set_version(self._version, sorted(self._holders))
        self._exchange.ledger.publish(self._version)

    def _catch_up(self) -> None:
        for engine in self._buffer.engines():
            if engine.id not in self._holders and self._bring(engine):
                self._buffer.set_engine_version(engine.id, self._version)

    def _bring(self, engine: Engine) -> bool:
        self._updates += 1
        order = [self._exchange.incarnation, self._updates]
        body = {"new_version": str(self._version), "order": order}
        try:
            self._client.post(f"{engine.url}/update_weight_version", json=body).raise_for_status()
        except httpx.HTTPError:
            return False
        self._holders.add(engine.id)
        return True


def _check(entry: OpenGroup) -> None:
    group, completion = entry.group, entry.completion
    if completion is None or len(completion.samples) != group.samples:
        raise WrongAnswerError(f"group {group.id}: {completion}")
    for index, sample in enumerate(completion.samples):
        length = int(group.sampling["max_response_tokens"])
        seed = sample_seed(group.seed, index)
        tokens = answer(group.prompt_tokens.tolist(), seed, length)
        (segment,) = sample.segments
        if sample.index != index or segment.tokens.tolist() != tokens:
            raise WrongAnswerError(f"group {group.id}, sample {index}: {sample}")
        wanted = [logprob(token) for token in tokens]
        if any(abs(a - b) > 1e-6 for a, b in zip(segment.logprobs.tolist(), wanted, strict=True)):
            raise WrongAnswerError(f"group {group.id}, sample {index}: {segment.logprobs}")


def train(
    trained: "Synchronized[int]", allowed: "Synchronized[int]", environment: RoleEnvironment
) -> int:
    """The role's work; its exit code tells whether the run has ended."""
    try:
        Trainer(environment, trained).run(allowed)
    except StoppedError:
        return STOPPED
    return 0
