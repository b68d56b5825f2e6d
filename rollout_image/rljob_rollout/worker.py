"""The worker: leases groups, has them generated and scored, completes them."""

import asyncio
import contextlib
import itertools
import secrets
import signal
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import httpx
import structlog

from rljob.buffer.client import WorkerBuffer
from rljob.buffer.records import Completion, Engine, Lease, Sample
from rljob.plan.environment import RoleEnvironment
from rljob.telemetry.server import StatusServer
from rljob_rollout.engine import EngineClient, EngineProcess, Output, free_port
from rljob_rollout.engine_arguments import engine_arguments
from rljob_rollout.rewards import RewardFailed
from rljob_rollout.scoring import Scoring
from rljob_rollout.worker_metrics import WorkerMetrics

log = structlog.get_logger()

# Groups of one request. More makes small models faster, but ties a group's completion to the
# slowest of its request.
_GROUPS_PER_REQUEST = 16
_HEARTBEAT_SECONDS = 3.0
_ENGINE_TTL_SECONDS = 15.0
_LOOK_SECONDS = 5.0  # a lapsed lease of another worker waits no longer than this


class Worker:
    """One rollout replica. It owns nothing that cannot be lost: the trainer has the truth."""

    def __init__(self, environment: RoleEnvironment) -> None:
        """Checks rewards and tokenizer; the engine is not started yet.

        Raises:
            UsageError: a reward hook, the tokenizer or the metrics port is not as it must be.
        """
        job = environment.job()
        spec = job.spec
        self._spec = spec.rollout
        self._name = f"rollout-{environment.replica}"
        self._scoring = Scoring(spec)
        self._metrics = WorkerMetrics()
        self._server = StatusServer(
            environment.host,
            environment.metrics_port,
            self._metrics.registry,
            self._metrics.status,
        )
        self._process = EngineProcess(
            engine_arguments(
                spec,
                host=environment.host,
                port=free_port(environment.host),
                api_key=environment.engine_api_key,
                admin_key=environment.engine_admin_key,
            ),
            Path(environment.run_dir) / "logs" / f"engine-{environment.replica}.log",
        )
        # A new id at each start: the weights of a restarted engine are not those of the old one.
        self._engine = Engine(
            id=f"{self._name}/{secrets.token_hex(4)}", worker=self._name, url=self._process.url
        )
        self._client = EngineClient(self._process.url, environment.engine_api_key)
        self._buffer = WorkerBuffer(
            environment.buffer_url,
            job.key,
            environment.buffer_password,
            worker=self._name,
            lease_seconds=spec.rollout.lease_seconds,
        )
        self._leases: dict[int, Lease] = {}  # by group
        self._requests: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._room.set()

    async def run(self) -> None:
        """Works until the run is finished or a stop is asked for.

        Raises:
            EngineDiedError: the engine ended.
        """
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        self._server.start()
        try:
            await _first(stop.wait(), self._work())
        finally:
            await self._leave()

    async def _work(self) -> None:
        await self._process.start()
        await _first(
            self._lease_until_finished(),
            self._process.watch(),
            self._stay_registered(),
            self._renew_leases(),
        )

    async def _leave(self) -> None:
        """Gives everything back, so that another worker can go on at once."""
        for request in self._requests:
            request.cancel()
        await asyncio.gather(*self._requests, return_exceptions=True)
        with contextlib.suppress(Exception):
            # If the buffer cannot be reached, leases lapse and the registration expires.
            async with asyncio.timeout(3.0):
                for lease in list(self._leases.values()):
                    await self._buffer.release(lease)
                await self._buffer.retire(self._engine.id)
        self._process.stop()
        await self._client.close()
        await self._buffer.close()
        self._server.close()
        log.info("worker.stopped", released=len(self._leases))

    async def _lease_until_finished(self) -> None:
        while True:
            await self._room.wait()
            room = self._spec.max_concurrent_groups - len(self._leases)
            leases = await self._buffer.lease(self._engine.id, room)
            for chunk in _chunks(leases, _GROUPS_PER_REQUEST):
                self._begin(chunk)
            if leases:
                continue
            state = await self._buffer.state()
            self._metrics.version(state.version)
            if state.phase == "finished":
                return
            with self._metrics.held_back(busy=bool(self._leases)):
                await self._buffer.wait(_LOOK_SECONDS)

    def _begin(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            self._leases[lease.group.id] = lease
        self._note_room()
        request = asyncio.create_task(self._serve(leases))
        self._requests.add(request)
        request.add_done_callback(self._requests.discard)

    async def _serve(self, leases: Sequence[Lease]) -> None:
        """Generates, scores and completes some groups; each is completed on its own."""
        leased = time.time()
        try:
            outputs = await self._generate(leases)
        except httpx.HTTPError as error:
            # The engine refused or is gone; if gone, the watch ends this worker.
            log.warning("generate.failed", groups=len(leases), error=repr(error))
            for lease in leases:
                await self._buffer.release(lease)
                self._forget(lease)
            return
        await asyncio.gather(
            *(self._complete(lease, o, leased) for lease, o in zip(leases, outputs, strict=True))
        )

    async def _generate(self, leases: Sequence[Lease]) -> list[list[Output]]:
        """All samples of all groups; what an update of the weights aborted is made again."""
        outputs = await self._client.generate([lease.group for lease in leases])
        for n, lease in enumerate(leases):
            while any(output.finish == "abort" for output in outputs[n]):
                (outputs[n],) = await self._client.generate([lease.group])
        return outputs

    async def _complete(self, lease: Lease, outputs: Sequence[Output], leased: float) -> None:
        group = lease.group
        samples: tuple[Sample, ...] = ()
        failure: RewardFailed | None = None
        try:
            samples = await self._scoring.score(group, outputs)
        except RewardFailed as error:
            failure = error
            log.warning("group.failed", group=group.id, reason=str(error))
        first = await self._buffer.complete(
            lease,
            Completion(
                group=group.id,
                incarnation=group.incarnation,
                worker=self._name,
                samples=samples,
                failure=None if failure is None else str(failure),
                failure_is_usage=failure is not None and failure.usage,
                leased=leased,
                finished=time.time(),
            ),
        )
        self._forget(lease)
        if first:
            self._metrics.completed(outputs, failed=failure is not None)

    def _forget(self, lease: Lease) -> None:
        self._leases.pop(lease.group.id, None)
        self._note_room()

    def _note_room(self) -> None:
        self._metrics.in_flight(len(self._leases))
        if len(self._leases) < self._spec.max_concurrent_groups:
            self._room.set()
        else:
            self._room.clear()

    async def _stay_registered(self) -> None:
        while True:
            await self._buffer.heartbeat(self._engine, _ENGINE_TTL_SECONDS)
            await asyncio.sleep(_HEARTBEAT_SECONDS)

    async def _renew_leases(self) -> None:
        while True:
            await asyncio.sleep(self._spec.lease_seconds / 3)
            leases = list(self._leases.values())
            owned = await self._buffer.renew(leases)
            for lease in leases:
                if lease.group.id not in owned and self._leases.get(lease.group.id) is lease:
                    # Another worker has it now, or it is completed; ours will be a no-op.
                    log.info("lease.lost", group=lease.group.id)


async def _first(*coroutines: Coroutine[Any, Any, Any]) -> None:
    """Runs all until the first ends, cancels the others, and raises what it raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _chunks(leases: Sequence[Lease], size: int) -> list[list[Lease]]:
    iterator = iter(leases)
    return list(iter(lambda: list(itertools.islice(iterator, size)), []))
