"""Rank 0's desk: everything in the trainer that exists only once."""

from collections.abc import Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import structlog
import torch
from jaxtyping import Int64
from prometheus_client import CollectorRegistry
from torch import Tensor

from rljob.api import RLJob
from rljob.buffer.client import TrainerBuffer
from rljob.buffer.log_stream import LogReceiver
from rljob.buffer.owner import owner_of
from rljob.buffer.records import Engine, Phase
from rljob.plan.environment import RoleEnvironment
from rljob.slime.arguments import arguments_of
from rljob.telemetry.incident import Incidents
from rljob.telemetry.server import StatusServer
from rljob_trainer.algorithms.buffer_filter import load_buffer_filter
from rljob_trainer.algorithms.filter import load_filter
from rljob_trainer.data.opening import index_directory, open_source
from rljob_trainer.data.tokenizer import PromptTokenizer
from rljob_trainer.process.stop import StopFlag
from rljob_trainer.samples.batch import batch_metrics, samples_of, shown_samples, unjudged
from rljob_trainer.samples.evaluation import evaluations
from rljob_trainer.samples.exchange import Exchange
from rljob_trainer.samples.incarnation import IncarnationFile
from rljob_trainer.samples.ledger import Ledger, OpenGroup
from rljob_trainer.samples.rollout_batch import RolloutBatch
from rljob_trainer.telemetry.collapse import Collapse
from rljob_trainer.telemetry.health import Health
from rljob_trainer.telemetry.outages import Outages
from rljob_trainer.telemetry.pod_logs import PodLogs
from rljob_trainer.telemetry.recorder import Recorder
from rljob_trainer.telemetry.utilization import Utilization
from rljob_trainer.weights.probe import Probe, ProbeAnswer
from rljob_trainer.weights.publisher import Publisher
from rljob_trainer.weights.snapshot import Snapshot
from rljob_trainer.weights.transport import open_transport

log = structlog.get_logger()

_SHOWN_SAMPLES = 4
_LOOK_SECONDS = 0.1


class Desk:
    """Buffer, ledger, data, engines, records: the trainer's connections to the outside."""

    def __init__(
        self, job: RLJob, environment: RoleEnvironment, *, device: torch.device, stop: StopFlag
    ) -> None:
        """Opens and checks everything, but starts nothing yet.

        Raises:
            UsageError: data, tokenizer, a filter or a port can't be used.
        """
        spec = job.spec
        run_dir = Path(environment.run_dir)
        registry = CollectorRegistry()
        checkpoint = Path(spec.model.checkpoint)
        tokenizer = PromptTokenizer(
            checkpoint,
            chat=spec.data.apply_chat_template,
            template_arguments=spec.data.chat_template_kwargs,
        )
        self._job = job
        self._stop = stop
        self._incarnation = IncarnationFile(run_dir)
        self._incidents = Incidents(run_dir)
        self._collapse = Collapse(self._incidents.add)
        self._outages = Outages(self._incidents.add)
        self.recorder = Recorder(job, run_dir, registry)
        self.health = Health(spec, registry)
        self._utilization = Utilization(registry)
        self._source = open_source(spec, tokenizer, run_dir)
        opened = evaluations(spec, tokenizer, index_directory(run_dir))
        self._evaluations = {evaluation.name: evaluation for evaluation in opened}
        self._buffer = TrainerBuffer(
            environment.buffer_url,
            job.key,
            environment.buffer_password,
            owner=owner_of(run_dir),
            tell=self._incidents.add,
        )
        # Without a cluster, the logs of all roles are in the run directory anyway.
        self._pod_logs: PodLogs | None = None
        if environment.linger:
            access = environment.buffer_url, job.key, environment.buffer_password
            self._pod_logs = PodLogs(run_dir, LogReceiver(*access))
        self._transport = open_transport(
            spec, host=environment.host, device=device, run_dir=run_dir
        )
        self.publisher = Publisher(
            spec.weights,
            self._buffer,
            admin_key=environment.engine_admin_key,
            new_group=self._transport.new_group,
        )
        self.exchange = Exchange(
            spec,
            buffer=self._buffer,
            source=self._source,
            ledger=Ledger(self.recorder.journals["ledger"], max_uses=spec.schedule.max_uses),
            group_filter=load_filter(spec.algorithm.filter, arguments_of(spec)),
            buffer_filter=load_buffer_filter(spec.rollout.buffer_filter, arguments_of(spec)),
            stop=stop,
            incidents=self._incidents,
            while_waiting=self._while_waiting,
        )
        self._batch: Sequence[OpenGroup] = []
        self._batch_metrics: dict[str, float] = {}
        self._engine_api_key = environment.engine_api_key
        self._answers: Future[list[ProbeAnswer]] | None = None
        self._server = StatusServer(
            environment.host, environment.metrics_port, registry, self._status
        )
        self._server.start()

    def start(
        self, rollout: int, state: Mapping[str, Any] | None, damaged: Sequence[str] = ()
    ) -> None:
        """Takes over the run, from the beginning or from a checkpoint's state.

        Args:
            rollout: batches trained on.
            state: the result of `save`.
            damaged: newer checkpoints that were set aside, and why.
        """
        for each in damaged:
            self._incidents.add("checkpoint.damaged", f"{each}; set aside as .damaged")
        if state is not None:
            self._incidents.add("run.resumed", f"resumed from checkpoint step-{rollout:06d}")
        self.recorder.load(state["recorder"] if state is not None else None)
        self._collapse.load(state.get("collapse") if state is not None else None)
        saved = state["exchange"] if state is not None else None
        self.exchange.start(self._incarnation.read(), rollout, saved)
        self._incarnation.write(self.exchange.incarnation)
        self.health.started(self.exchange.incarnation)
        if self._pod_logs is not None:
            self._pod_logs.start()
        self.recorder.phase("starting", "waiting for engines")

    def save(self) -> dict[str, Any]:
        """The desk's part of a checkpoint."""
        return {
            "exchange": self.exchange.save(),
            "recorder": self.recorder.save(),
            "collapse": self._collapse.save(),
        }

    def publish(self, snapshot: Snapshot) -> None:
        """Starts sending weights, which may still be being gathered, to the engines."""
        self.publisher.publish(snapshot)

    def published(self) -> None:
        """Waits until the engines have the weights, then counts the version as published.

        Raises:
            StoppedError: a stop was requested meanwhile.
        """
        version = self.publisher.wait(self._while_publishing)
        self.exchange.ledger.publish(version)
        self.recorder.phase("running")
        self._update_status()

    def ask_engines(self, probe: Int64[Tensor, " length"]) -> None:
        """Has every engine that holds the published weights score a sequence."""
        asked = Probe(probe, self._engine_api_key).ask(self._holders())
        self._answers = self.publisher.start(asked)

    def engines_answers(self, *, wait: bool) -> list[ProbeAnswer] | None:
        """The engines' answers; an empty list if some are still missing, None if none were asked.

        Raises:
            StoppedError: a stop was requested while waiting for the answers.
        """
        answers, self._answers = self._answers, None
        if answers is None:
            return None
        while wait and not answers.done():
            self._while_publishing()
            futures.wait([answers], _LOOK_SECONDS)
        return answers.result() if answers.done() else []

    def evaluate(self, name: str, rollout: int) -> None:
        """Runs the evaluation of a data set with the published weights, after `rollout` batches."""
        self.recorder.phase("evaluating", name)
        result = self._evaluations[name].run(self.exchange)
        self._tell(f"evaluation {name}", "prompt", result.failed, result.unjudged)
        self.recorder.evaluation(rollout, result)
        self.recorder.phase("running")
        self._utilization.skip()

    def collect(self) -> RolloutBatch:
        """Waits for the next batch; `consume` and `record` are about the last one collected."""
        self._batch = self.exchange.collect()
        return RolloutBatch.of(self._batch)

    def consume(self, rollout: int) -> None:
        """Records that the batch was trained on, as batch `rollout`."""
        # Before its next version is published, from which ages would count.
        self._batch_metrics = batch_metrics(self._batch, self.exchange.ledger.version)
        self.exchange.consume(self._batch, rollout)

    def record(
        self, rollout: int, metrics: Mapping[str, float], seconds: Mapping[str, float]
    ) -> None:
        """Records a batch that was trained on."""
        batch = self._batch
        metrics = {**metrics, **self._batch_metrics}
        failures = self.exchange.take_failures()
        self._tell(f"batch {rollout}", "group", failures, unjudged(samples_of(batch)))
        ledger = self.exchange.ledger
        samples = sum(entry.group.samples for entry in batch)
        total = seconds["total"]
        self.recorder.batch(
            rollout,
            {
                **metrics,
                "weights/version": ledger.version,
                "weights/bytes": self._transport.nbytes(self.publisher.nbytes),
                "weights/update_seconds": self.publisher.seconds,
                "weights/pause_seconds": self.publisher.pause_seconds,
                "groups/dropped": ledger.dropped,
                "throughput/samples_per_second": samples / total,
                "throughput/tokens_per_second": samples * metrics["response/length_mean"] / total,
                **{f"time/{stage}": value for stage, value in seconds.items()},
            },
            shown_samples(batch, _SHOWN_SAMPLES),
            rewards=[sample.reward for sample in samples_of(batch)],
            count=samples,
            tokens=sum(sample.tokens for sample in samples_of(batch)),
        )
        self._collapse.batch(rollout, metrics)
        self.health.trained()
        self._update_status()
        self._utilization.batch(
            wait=seconds.get("wait", 0.0),
            seconds=total - seconds.get("evaluate", 0.0),
            tokens=samples * metrics["response/length_mean"],
        )

    def finish(self, state: str, rollout: int) -> None:
        """Ends the run, or this process's part of it, for all roles, after `rollout` batches."""
        ledger = self.exchange.ledger
        succeeded = state == "succeeded"
        if succeeded:
            ledger.finish(rollout)
        self.recorder.summary(
            state,
            staleness_max=ledger.staleness_max,
            weight_versions=ledger.version + 1,
            groups_consumed=ledger.consumed,
            groups_dropped=ledger.dropped,
            prompts_skipped=self._source.skipped,
        )
        phase: Phase = "finished" if succeeded else "stopping"
        self.recorder.phase(phase)
        self._buffer.set_phase(phase)
        self.publisher.close()
        self._transport.close()
        self.recorder.close()
        self._source.close()
        if self._pod_logs is not None:
            self._pod_logs.close()
        self._buffer.close()
        log.info("run.finished", state=state, rollouts=rollout)

    def _tell(self, where: str, noun: str, dropped: Sequence[str], unjudged: Sequence[str]) -> None:
        """Reports how many were dropped or could not be judged, with the first reason of each."""
        if dropped:
            message = f"{where}: {_count(dropped, noun)} dropped; the first: {dropped[0]}"
            self._incidents.add("group.dropped", message)
        if unjudged:
            message = f"{where}: {_count(unjudged, 'sample')} not judged; the first: {unjudged[0]}"
            self._incidents.add("reward.failed", message)

    def _while_publishing(self) -> None:
        self._stop.check()
        self._update_status()

    def _while_waiting(self) -> None:
        self.publisher.check()
        self._update_status()

    def _status(self) -> dict[str, Any]:
        return {**self.recorder.status(), **self._utilization.status()}

    def _holders(self) -> list[Engine]:
        """The live engines that hold the published weights."""
        holders = self.publisher.holders
        return [each for each in self._buffer.engines() if each.id in holders]

    def _update_status(self) -> None:
        engines = self._holders()
        self._utilization.look(engines)
        self.recorder.engines(len(engines), self._outages.look(engines))
        self.health.lagging(self.publisher.lagging)
        occupancy = self._buffer.occupancy()
        self.health.buffer(occupancy, self._buffer.memory())
        self.recorder.update(
            weight_version=self.exchange.ledger.version,
            staleness_max=self.exchange.ledger.staleness_max,
            epoch=self.publisher.epoch,
            lagging=self.publisher.lagging,
            waiting=occupancy.waiting,
            leased=occupancy.leased,
            ready=self.exchange.ledger.ready,
        )


def _count(items: Sequence[str], noun: str) -> str:
    return f"1 {noun} was" if len(items) == 1 else f"{len(items)} {noun}s were"
