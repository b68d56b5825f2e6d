"""The exchange of groups with the rollout workers: admit, collect, consume."""

from collections.abc import Callable, Sequence
from typing import Any

import structlog

from rljob.api import RLJobSpec
from rljob.buffer.client import TrainerBuffer
from rljob.buffer.records import Completion, Group
from rljob.errors import UsageError
from rljob.ledger.event import Start
from rljob.telemetry.incident import Incidents
from rljob_trainer.algorithms.buffer_filter import BufferFilter
from rljob_trainer.algorithms.filter import GroupFilter
from rljob_trainer.algorithms.reward import unfit_reward
from rljob_trainer.data.source import EndedGroup, Prompt, PromptSource, Skipped
from rljob_trainer.process.stop import StopFlag
from rljob_trainer.samples.admission import Admission
from rljob_trainer.samples.ledger import Ledger, OpenGroup
from rljob_trainer.samples.selection import Selection

log = structlog.get_logger()

_BLOCK_SECONDS = 0.5  # how long one poll of the buffer blocks; a stop is noticed within this time


class Exchange:
    """The trainer's end of the buffer. Lives on rank 0."""

    def __init__(
        self,
        spec: RLJobSpec,
        *,
        buffer: TrainerBuffer,
        source: PromptSource,
        ledger: Ledger,
        group_filter: GroupFilter | None,
        buffer_filter: BufferFilter | None,
        stop: StopFlag,
        incidents: Incidents,
        while_waiting: Callable[[], None],
    ) -> None:
        """`while_waiting` is called after every poll of the buffer that returns nothing."""
        self._incidents = incidents
        self._spec = spec
        self._buffer = buffer
        self._source = source
        self._filter = group_filter
        self._stop = stop
        self._while_waiting = while_waiting
        self._is_filtered = buffer_filter is not None
        self._admission = Admission.of(spec.schedule, is_filtered=self._is_filtered)
        self._select = Selection(self._admission, buffer_filter)
        self._evaluated: dict[int, Completion] = {}
        self._failures_in_a_row = 0
        self._drops_in_a_row = 0
        self._failures: list[str] = []
        self.ledger = ledger
        self.incarnation = 0

    def start(self, floor: int, rollout: int, saved: dict[str, Any] | None) -> None:
        """Takes the buffer over from any earlier trainer and offers open groups again.

        Args:
            floor: the last incarnation recorded in the run directory.
            rollout: batches trained on.
            saved: `save()` of the checkpoint that the run resumes from.
        """
        self.incarnation = self._buffer.start(floor)
        if saved is not None:
            self._source.load(saved["source"])
            self.ledger.load(saved["ledger"], self.incarnation)
        self.ledger.start(
            Start(
                incarnation=self.incarnation,
                rollout=rollout,
                prompts=self._source.prompts,
                batch_size=self._spec.schedule.rollout_batch_size,
                samples=self._spec.algorithm.samples_per_prompt,
                max_staleness=self._spec.schedule.max_staleness,
                max_uses=self._spec.schedule.max_uses,
                buffer_filter=self._spec.rollout.buffer_filter,
                files=self._source.files,
            )
        )
        self._buffer.admit(self.ledger.waiting())

    @property
    def first_version(self) -> int:
        """The version under which a trainer that has just started publishes its weights.

        After a restart this is the same version as before: a new one would age the samples that
        are ready, and they could pass the staleness bound. If the next version was due, it is that.
        """
        schedule = self._spec.schedule
        interval = schedule.rollout_batch_size * schedule.update_weights_interval
        ledger = self.ledger
        due = ledger.version < 0 or ledger.uses_since_publish >= interval
        return ledger.version + 1 if due else ledger.version

    def save(self) -> dict[str, Any]:
        """Cursor, ledger and ready samples, for a checkpoint."""
        return {"source": self._source.save(), "ledger": self.ledger.save()}

    def admit(self) -> None:
        """Offers as many new groups as the staleness bound and the rest of the run allow."""
        schedule = self._spec.schedule
        ledger = self.ledger
        ledger.retire(schedule.max_staleness)
        unused = len(ledger.unused)
        capacity = self._admission.capacity(
            unused_groups=unused,
            used_groups=len(ledger.open) - unused,
            uses_left=ledger.uses_left,
            uses_since_publish=ledger.uses_since_publish,
            still_needed=schedule.rollouts * schedule.rollout_batch_size - ledger.uses,
        )
        groups: list[Group] = []
        while len(groups) < capacity:
            for ref, prompt in self._source.draw(capacity - len(groups)):
                if isinstance(prompt, Skipped):
                    ledger.skip(ref, prompt.reason)
                    if prompt.is_bad:
                        self._failures.append(prompt.reason)
                    continue
                group = self._group(prompt)
                ledger.admit(group, ref)
                groups.append(group)
        self._buffer.admit(groups)

    def collect(self) -> list[OpenGroup]:
        """Waits for the groups of the next rollout batch and returns them.

        Raises:
            StoppedError: a stop was requested meanwhile.
            UsageError: too many groups in a row fail or are refused by the filter.
        """
        if self._is_filtered:  # it chooses among all groups completed during the last batch
            self._look(wait=0)
        while True:
            self.admit()
            batch = self._select(self.ledger)
            if batch is not None:
                self._drops_in_a_row = 0
                return batch
            self._look()

    def take_failures(self) -> list[str]:
        """Why groups and prompts failed since the last call; refusals by a filter don't count."""
        failures, self._failures = self._failures, []
        return failures

    def consume(self, batch: Sequence[OpenGroup], rollout: int) -> None:
        """Records that the groups were trained on in batch `rollout`.

        Raises:
            RuntimeError: a token exceeded the staleness bound, which must never happen.
        """
        fresh = [each for each in batch if not each.uses]
        self.ledger.consume(batch, rollout)
        # Only first uses are reported: a reuse tells the source nothing new.
        self._source.end([EndedGroup.of(each.group, each.ref, each.completion) for each in fresh])
        bound = self._spec.schedule.max_staleness
        if self.ledger.staleness_max > bound:
            raise RuntimeError(
                f"a token {self.ledger.staleness_max} versions old was consumed; "
                f"spec.schedule.maxStaleness allows {bound}"
            )

    def evaluate(self, name: str, groups: Sequence[Group]) -> list[Completion]:
        """Has groups generated outside training, and waits for them; keeps the given order.

        Their ids are consecutive.
        """
        self.ledger.evaluate(name, groups)
        self._evaluated = {}
        self._buffer.admit(groups)
        wanted = {group.id for group in groups}
        while wanted - self._evaluated.keys():
            self._look(offered=groups)
        return [self._evaluated[group.id] for group in groups]

    def _group(self, prompt: Prompt) -> Group:
        spec = self._spec
        group_id = self.ledger.draw_id()
        return Group(
            id=group_id,
            incarnation=self.incarnation,
            kind="train",
            prompt=prompt.text,
            prompt_tokens=prompt.tokens,
            messages=prompt.messages if spec.rollout.generate else None,
            label=prompt.label,
            metadata=prompt.metadata,
            samples=spec.algorithm.samples_per_prompt,
            sampling=spec.rollout.sampling.model_dump(),
            rewards=[reward.model_dump() for reward in spec.rollout.all_rewards],
            seed=spec.seed * 1_000_003 + group_id,
        )

    def _look(self, offered: Sequence[Group] = (), wait: float = _BLOCK_SECONDS) -> None:
        """Takes completed groups; waits up to `wait` seconds if there are none."""
        self._stop.check()
        completions = self._buffer.collect(wait)
        for completion in completions:
            self._settle(completion)
        if not completions:
            if self._buffer.lost():
                self._restore(offered)
            self._while_waiting()

    def _restore(self, offered: Sequence[Group]) -> None:
        log.warning("buffer.lost", open=len(self.ledger.open))
        self._incidents.add(
            "buffer.lost",
            f"the buffer had lost its data; {len(self.ledger.open)} open groups are offered again",
        )
        self._buffer.restore()
        unfinished = [group for group in offered if group.id not in self._evaluated]
        self._buffer.admit([*unfinished, *self.ledger.waiting()])

    def _settle(self, completion: Completion) -> None:
        failure = completion.failure or unfit_reward(
            [sample.reward for sample in completion.samples]
        )
        entry = self.ledger.complete(completion)
        if entry is None:
            # Not one of the ledger's open groups, so an evaluation asked for it.
            self._evaluated[completion.group] = completion
        elif failure is not None:
            self._failures_in_a_row += 1
            self._failures.append(failure)
            self._drop(entry, failure)
            if completion.failure_is_usage:  # the prompt is to blame, e.g. the engine refuses it
                self._source.bad_share.add(failure)
            if self._failures_in_a_row >= self._spec.schedule.rollout_batch_size:
                raise UsageError(
                    f"{self._failures_in_a_row} groups in a row failed; the last: {failure}"
                )
        else:
            self._failures_in_a_row = 0
            if self._filter is not None and not self._filter(completion.samples):
                self._drop(entry, f"filter {self._spec.algorithm.filter}")
                if self._drops_in_a_row >= max(self._source.patience, self._admission.window):
                    raise UsageError(
                        f"spec.algorithm.filter: {self._spec.algorithm.filter} refused "
                        f"{self._drops_in_a_row} groups in a row; allowed: a filter and a reward "
                        "under which some groups pass"
                    )

    def _drop(self, entry: OpenGroup, reason: str) -> None:
        self._drops_in_a_row += 1
        self.ledger.drop(entry.group.id, reason)
        self._source.end([EndedGroup.of(entry.group, entry.ref, entry.completion, reason)])
        log.info("group.dropped", group=entry.group.id, reason=reason)
