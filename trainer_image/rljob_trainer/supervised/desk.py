"""Rank 0's desk in a supervised run: data, records, files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from rljob.api import RLJob
from rljob.plan.environment import RoleEnvironment
from rljob.telemetry.incident import Incidents
from rljob.telemetry.server import StatusServer
from rljob_trainer.data.answer import Answers
from rljob_trainer.data.opening import open_source
from rljob_trainer.data.source import Prompt
from rljob_trainer.data.tokenizer import PromptTokenizer
from rljob_trainer.process.stop import StopFlag
from rljob_trainer.samples.incarnation import IncarnationFile
from rljob_trainer.supervised.example_batch import ExampleBatch
from rljob_trainer.supervised.examples import Examples
from rljob_trainer.telemetry.headline import LOSS
from rljob_trainer.telemetry.health import Health
from rljob_trainer.telemetry.recorder import Recorder

log = structlog.get_logger()

_SHOWN_EXAMPLES = 4


class SupervisedDesk:
    """What exists only once. Unlike `Desk` it has no buffer, no ledger and no engines."""

    def __init__(self, job: RLJob, environment: RoleEnvironment, *, stop: StopFlag) -> None:
        """Opens and checks everything.

        Raises:
            UsageError: data, tokenizer or a port can't be used.
        """
        spec = job.spec
        run_dir = Path(environment.run_dir)
        registry = CollectorRegistry()
        tokenizer = PromptTokenizer(
            Path(spec.model.checkpoint),
            chat=spec.data.apply_chat_template,
            template_arguments=spec.data.chat_template_kwargs,
        )
        answers = Answers(
            tokenizer,
            longest=spec.rollout.sampling.max_response_tokens,
            skip_long=spec.data.skip_long_prompts,
        )
        self._stop = stop
        self._incarnation = IncarnationFile(run_dir)
        self._incidents = Incidents(run_dir)
        self.recorder = Recorder(job, run_dir, registry, LOSS)
        self.recorder.update(loss=None, token_accuracy=None)
        self.health = Health(spec, registry)
        source = open_source(spec, tokenizer, run_dir, answers=answers)
        self._examples = Examples(source, spec.schedule.rollout_batch_size)
        self._prompts: list[Prompt] = []
        self._metrics: dict[str, float] = {}
        StatusServer(
            environment.host, environment.metrics_port, registry, self.recorder.status
        ).start()

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
            self._examples.load(state["examples"])
        self.recorder.load(state["recorder"] if state is not None else None)
        incarnation = self._incarnation.read() + 1
        self._incarnation.write(incarnation)
        self.health.started(incarnation)
        self.recorder.phase("running")

    def save(self) -> dict[str, Any]:
        """The desk's part of a checkpoint."""
        return {"examples": self._examples.save(), "recorder": self.recorder.save()}

    def collect(self) -> ExampleBatch:
        """The next batch; `record` is about the last one collected.

        Raises:
            StoppedError: a stop was requested; nothing is drawn then.
        """
        self._stop.check()
        self._prompts = self._examples.take()
        batch = ExampleBatch.of(self._prompts)
        self._metrics = batch.metrics() | self._examples.metrics()
        return batch

    def record(
        self, rollout: int, metrics: Mapping[str, float], seconds: Mapping[str, float]
    ) -> None:
        """Records a batch that was trained on."""
        skipped = self._examples.skipped
        if skipped:
            message = f"batch {rollout}: {len(skipped)} prompts skipped; the first: {skipped[0]}"
            self._incidents.add("prompt.skipped", message)
        count, total = len(self._prompts), seconds["total"]
        tokens = round(count * self._metrics["response/length_mean"])
        self.recorder.batch(
            rollout,
            {
                **metrics,
                **self._metrics,
                "throughput/samples_per_second": count / total,
                "throughput/tokens_per_second": tokens / total,
                **{f"time/{stage}": value for stage, value in seconds.items()},
            },
            [_shown(each) for each in self._prompts[:_SHOWN_EXAMPLES]],
            count=count,
            tokens=tokens,
        )
        self.health.trained()

    def finish(self, state: str, rollout: int) -> None:
        """Ends the run, or this process's part of it, after `rollout` batches."""
        skipped = int(self._examples.metrics()["data/skipped"])
        self.recorder.summary(state, prompts_skipped=skipped)
        self.recorder.phase("finished" if state == "succeeded" else "stopping")
        self.recorder.close()
        self._examples.close()
        log.info("run.finished", state=state, rollouts=rollout)


def _shown(prompt: Prompt) -> dict[str, Any]:
    """An example for people to read: the answer with what ends it."""
    answer = prompt.answer.text if prompt.answer is not None else ""
    return {"prompt": prompt.text, "response": answer, "label": prompt.label}
