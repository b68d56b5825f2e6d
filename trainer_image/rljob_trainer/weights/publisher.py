"""Publishing: a new weight version into all engines, and the last one into those that come late."""

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog
import torch

from rljob.api.weights import WeightsSpec
from rljob.buffer.client import TrainerBuffer
from rljob.buffer.records import Engine
from rljob_trainer.stop import StopFlag
from rljob_trainer.weights.bucket import Bucket
from rljob_trainer.weights.engine import EngineControl, EngineFailedError
from rljob_trainer.weights.update_group import UpdateGroup

log = structlog.get_logger()

_LOOK_SECONDS = 0.2  # between two looks for an engine while there is none
_RETRY_SECONDS = 60.0


class Publisher:
    """Sends weights to the engines. Lives on rank 0.

    The engines that hold the published version are told to the buffer, and only these lease
    work. An engine that fails in an update is left out: it keeps its old version, so it gets no
    work until it has caught up. Training waits only while no engine at all is left.
    """

    def __init__(
        self,
        spec: WeightsSpec,
        buffer: TrainerBuffer,
        *,
        host: str,
        device: torch.device,
        ranks_per_engine: int,
        admin_key: str | None,
        stop: StopFlag,
        while_waiting: Callable[[], None],
    ) -> None:
        """
        Args:
            spec: of the job.
            buffer: where the engines register.
            host: address of this process for the engines.
            device: on which the weights are sent.
            ranks_per_engine: the engines' tensor-parallel size.
            admin_key: of the engines.
            stop: ends the wait for engines.
            while_waiting: called again and again while there is none.
        """
        self._spec = spec
        self._buffer = buffer
        self._host = host
        self._device = device
        self._ranks_per_engine = ranks_per_engine
        self._admin_key = admin_key
        self._stop = stop
        self._while_waiting = while_waiting
        self._executor = ThreadPoolExecutor(max_workers=32, thread_name_prefix="engine")
        self._group: UpdateGroup | None = None
        self._snapshot: list[Bucket] = []  # the published version, for engines that come late
        self._holders: set[str] = set()  # ids of the engines that hold it
        self._not_before: dict[str, float] = {}  # when an engine that failed is tried again
        self._version = -1
        self.epoch = 0

    @property
    def holders(self) -> frozenset[str]:
        """Ids of the engines that hold the published version; some may have died since."""
        return frozenset(self._holders)

    def publish(self, snapshot: Sequence[Bucket], version: int) -> None:
        """Sends the weights to every live engine as `version`; waits for a first engine.

        On return the version is the published one.
        """
        self._snapshot = list(snapshot)
        self._version = version
        left_out: set[str] = set()
        while True:
            engines = self._await_engines(left_out)
            try:
                group = self._group_of(engines)
                self._send(group, version)
                break
            except EngineFailedError as error:
                self._leave_out(error)
                left_out.add(error.engine.id)
                self._drop_group()
        self._holders = {engine.id for engine in group.engines}
        self._buffer.set_version(version, sorted(self._holders))

    def catch_up(self) -> None:
        """Brings engines that came since the last publication to the published version.

        In a group of their own, so that the others go on generating.
        """
        if not self._snapshot:
            return
        now = time.monotonic()
        for engine in self._buffer.engines():
            if engine.id in self._holders or now < self._not_before.get(engine.id, 0.0):
                continue
            try:
                group = self._form([engine])
                try:
                    self._send(group, self._version)
                finally:
                    group.close()
            except EngineFailedError as error:
                self._leave_out(error)
                continue
            self._holders.add(engine.id)
            self._buffer.set_engine_version(engine.id, self._version)
            log.info("engine.caught_up", engine=engine.id, version=self._version)

    def close(self) -> None:
        """Dissolves the group."""
        self._drop_group()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _leave_out(self, error: EngineFailedError) -> None:
        """Training goes on without it; it is tried again, but not so often as to hold it up."""
        log.warning("engine.left_out", engine=error.engine.id, reason=error.reason)
        self._not_before[error.engine.id] = time.monotonic() + _RETRY_SECONDS

    def _await_engines(self, left_out: set[str]) -> list[Engine]:
        waiting = False
        while True:
            live = [e for e in self._buffer.engines() if e.id not in left_out]
            if live:
                return sorted(live, key=lambda engine: engine.id)
            if not waiting:
                log.info("engines.awaited")
                waiting = True
            self._while_waiting()
            self._stop.wait(_LOOK_SECONDS)

    def _group_of(self, engines: Sequence[Engine]) -> UpdateGroup:
        """The group of exactly these engines: the present one, or a new epoch."""
        if self._group is not None and self._group.engines == list(engines):
            return self._group
        self._drop_group()
        self._group = self._form(engines)
        self.epoch += 1
        log.info("epoch.formed", epoch=self.epoch, members=len(engines))
        return self._group

    def _form(self, engines: Sequence[Engine]) -> UpdateGroup:
        timeout = self._spec.timeout_seconds
        members = [EngineControl(engine, self._admin_key, timeout) for engine in engines]
        for member in members:
            member.recover()
        return UpdateGroup(
            members,
            host=self._host,
            device=self._device,
            ranks_per_engine=self._ranks_per_engine,
            timeout=timeout,
            executor=self._executor,
        )

    def _send(self, group: UpdateGroup, version: int) -> None:
        """Pauses the members, hands the snapshot over, and lets them go on."""
        self._each(group, lambda member: member.pause(self._spec.pause_mode))
        self._each(group, EngineControl.begin)
        for bucket in self._snapshot[:-1]:
            group.send(bucket, version=None, flush_cache=False)
        # Requests that are paused in place hold their cache, which then cannot be flushed; such
        # an engine shares no prefixes between requests, so none is ever reused.
        flush_cache = self._spec.pause_mode != "in_place"
        group.send(self._snapshot[-1], version=version, flush_cache=flush_cache)
        self._each(group, EngineControl.end)
        self._each(group, EngineControl.resume)

    def _each(self, group: UpdateGroup, call: Callable[[EngineControl], None]) -> None:
        for done in [self._executor.submit(call, member) for member in group.members]:
            done.result()

    def _drop_group(self) -> None:
        if self._group is not None:
            with contextlib.suppress(EngineFailedError, RuntimeError):
                self._group.close()
            self._group = None
