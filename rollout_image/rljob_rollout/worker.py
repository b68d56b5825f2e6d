"""The worker: leases groups, has its engine generate responses, scores and completes them."""

import asyncio
import secrets
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import structlog
from redis.exceptions import RedisError

from rljob import thread
from rljob.buffer.client import WorkerBuffer
from rljob.buffer.connection import BufferUnavailable
from rljob.buffer.records import Engine, Lease
from rljob.plan.environment import RoleEnvironment
from rljob.slime.arguments import arguments_of
from rljob.telemetry.server import StatusServer
from rljob_rollout.engine import EngineDiedError, EngineProcess
from rljob_rollout.engine_metrics import EngineMetrics
from rljob_rollout.episodes.hosts import Hosts
from rljob_rollout.episodes.player import Player
from rljob_rollout.generation import EngineClient, EngineSilentError, RefusedError
from rljob_rollout.hand import Hand
from rljob_rollout.judging.scorer import Scorer
from rljob_rollout.pulse import Pulse
from rljob_rollout.serving import Serving
from rljob_rollout.tokenizer import ResponseTokenizer
from rljob_rollout.watchdog import Watchdog
from rljob_rollout.worker_metrics import WorkerMetrics

log = structlog.get_logger()

_HEARTBEAT_SECONDS = 3.0
_ENGINE_TTL_SECONDS = 15.0
_RENEW_SECONDS = 5.0  # at most; groups of a trainer that was replaced are dropped within this time
_LOOK_SECONDS = 5.0  # at most; a lapsed lease of another worker is found within this time
# Without an answer from the engine. First its groups go to others; later the engine is replaced.
_SILENT_SECONDS = 15.0
_HUNG_SECONDS = 120.0
_INTERRUPT_SECONDS = 3.0  # for partial responses to get from the engine into the buffer
_FAREWELL_SECONDS = 3.0
_FAILED_REQUESTS = 3  # in a row, before the engine is given up


class Worker:
    """One rollout replica. It may be lost at any time: the trainer keeps the real state."""

    def __init__(self, environment: RoleEnvironment, process: EngineProcess) -> None:
        """Loads the rewards; does not start the engine yet.

        Args:
            environment: this replica's.
            process: the engine to start, watch and stop.

        Raises:
            UsageError: a reward can't be imported, or the metrics port can't be used.
        """
        job = environment.job()
        self._spec = job.spec
        self._name = environment.member
        self._api_key = environment.engine_api_key
        self._admin_key = environment.engine_admin_key
        self._linger = environment.linger
        self._replica = environment.replica
        self._scorer = Scorer(job.spec, environment.replica)
        self._metrics = WorkerMetrics()
        self._metrics.registry.register(EngineMetrics(process.url))
        self._server = StatusServer(
            environment.host,
            environment.metrics_port,
            self._metrics.registry,
            self._metrics.status,
            ready=self._metrics.is_admissible,
        )
        self._process = process
        self._engine = self._new_engine()
        self._silent = False
        self._buffer = WorkerBuffer(
            environment.buffer_url,
            job.key,
            environment.buffer_password,
            worker=self._name,
            lease_seconds=job.spec.rollout.lease_seconds,
        )
        self._hand = Hand(job.spec.rollout.max_concurrent_groups)
        self._requests: dict[asyncio.Task[None], Sequence[Lease]] = {}
        self._serving: Serving | None = None
        self._leaving = False
        self._failed_requests = 0  # in a row

    async def run(self) -> None:
        """Works until the run is finished, or SIGTERM or SIGINT requests a stop.

        Raises:
            UsageError: the checkpoint has no tokenizer.
            EngineDiedError: the engine ended.
            EngineSilentError: several requests to the engine in a row have failed.
            BufferUnavailable: the buffer could not be reached for too long.
        """
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        self._server.start()
        log.info("worker.started", metrics_port=self._server.port, engine=self._engine.id)
        work = asyncio.create_task(self._work())
        stopped = asyncio.create_task(stop.wait())
        watchdog = asyncio.create_task(Watchdog().run())
        try:
            await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            elif self._spec.rollout.partial:
                await self._interrupt()
        finally:
            for task in (work, stopped):
                task.cancel()
            await asyncio.gather(work, stopped, return_exceptions=True)
            await self._leave()
            watchdog.cancel()
            await asyncio.gather(watchdog, return_exceptions=True)

    def _new_engine(self) -> Engine:
        """An engine with a new id, for whenever it is unknown which weights it holds."""
        unique = f"{self._name}/{secrets.token_hex(4)}"
        return Engine(id=unique, worker=self._name, url=self._process.url)

    async def _work(self) -> None:
        await self._process.start()
        # Importing the tokenizer takes half as long as the engine's start, so do it meanwhile.
        checkpoint = Path(self._spec.model.checkpoint)
        hosts = await self._started_hosts()
        tokenizer = await thread.start(lambda: ResponseTokenizer(checkpoint), "tokenizer")
        await self._process.wait_until_ready()
        self._metrics.engine("ready")
        client = EngineClient(
            self._engine.url,
            self._api_key,
            self._admin_key,
            tokenizer.end_tokens,
            seeded=bool(self._spec.rollout.sglang.get("enable_deterministic_inference")),
            keeps_partial=self._spec.rollout.partial,
            timeout_seconds=self._spec.rollout.generation_timeout_seconds,
        )
        player = None
        if hosts is not None:
            player = Player(
                self._spec,
                hosts,
                client=client,
                tokenizer=tokenizer,
                metrics=self._metrics,
            )
        self._serving = Serving(
            worker=self._name,
            buffer=self._buffer,
            hand=self._hand,
            client=client,
            tokenizer=tokenizer,
            scorer=self._scorer,
            metrics=self._metrics,
            player=player,
        )
        try:
            await self._serve_all(self._serving)
        finally:
            if player is not None:
                await player.close()
            await client.close()

    async def _started_hosts(self) -> Hosts | None:
        """The processes of the generate function; None if the job has none."""
        hook, episodes = self._spec.rollout.generate, self._spec.rollout.episodes
        if hook is None:
            return None
        hosts = Hosts(hook, episodes, self._replica, arguments_of(self._spec))
        await hosts.start()
        return hosts

    async def _serve_all(self, serving: Serving) -> None:
        """Serves until the run is finished; raises what any of its tasks raises."""
        try:
            async with asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(self._process.watch()),
                    tasks.create_task(self._stay_registered()),
                    tasks.create_task(self._listen()),
                    tasks.create_task(self._renew()),
                ]
                await self._take(tasks, serving)
                for task in [*background, *self._requests]:
                    task.cancel()
        except BaseExceptionGroup as group:
            # If the engine has died, that is why the other tasks failed.
            raise next(
                (error for error in group.exceptions if isinstance(error, EngineDiedError)),
                group.exceptions[0],
            ) from None

    async def _take(self, tasks: asyncio.TaskGroup, serving: Serving) -> None:
        """Leases groups while there is room, until the run is finished.

        A worker that lingers keeps asking for leases, and gets none, until it is told to stop: if
        it ended, it would be started again.
        """
        while True:
            room = await self._hand.room()
            if self._leaving:
                await asyncio.gather(*self._requests, return_exceptions=True)
                return
            leases = await self._buffer.lease(self._engine.id, room)
            leased = time.time()
            self._hand.add(leases)
            self._metrics.in_flight(len(self._hand))
            attempts = self._spec.rollout.attempts
            for lease in leases:
                if lease.attempt > attempts:
                    await serving.give_up(lease, leased)
                elif lease.partial is not None and lease.partial.tokens:
                    begun = lease.partial.tokens
                    log.info("group.continued", group=lease.group.id, tokens=begun)
            for portion in serving.portions([each for each in leases if each.attempt <= attempts]):
                task = tasks.create_task(self._serve(serving, portion, leased))
                self._requests[task] = portion
                task.add_done_callback(self._requests.pop)
            if leases:
                continue
            state = await self._buffer.state()
            self._metrics.published(state.version)
            if state.phase == "finished" and not self._linger:
                return
            with self._metrics.waiting(idle=not self._hand):
                await self._buffer.wait(min(self._spec.rollout.lease_seconds / 3, _LOOK_SECONDS))

    async def _serve(self, serving: Serving, leases: Sequence[Lease], leased: float) -> None:
        """Serves leases with one request; each group is then completed separately.

        Raises:
            EngineSilentError: several requests in a row have failed.
        """
        began = time.monotonic()
        try:
            generated = await serving.generate(leases)
        except EngineSilentError as error:
            self._failed_requests += 1
            if self._failed_requests >= _FAILED_REQUESTS:
                raise
            log.warning("generation.failed", error=str(error), groups=len(leases))
            self._metrics.generation_failed()
            for lease in leases:
                if lease in self._hand:
                    self._hand.drop(lease)
                    # This counts as an attempt: the group itself may be the cause.
                    await self._buffer.release(lease, is_lost=True)
            return
        self._failed_requests = 0
        self._metrics.generated(time.monotonic() - began)
        async with asyncio.TaskGroup() as tasks:
            for lease, made in zip(leases, generated, strict=True):
                tasks.create_task(serving.finish(lease, made, leased))
                self._hand.grow()
        self._metrics.in_flight(len(self._hand))

    async def _stay_registered(self) -> None:
        while True:
            if not self._silent:
                outages = self._scorer.outages
                self._metrics.reward_outages(len(outages))
                engine = replace(
                    self._engine,
                    groups=len(self._hand),
                    busy_seconds=self._hand.busy_seconds,
                    trouble="; ".join(outages),
                )
                await self._buffer.heartbeat(engine, _ENGINE_TTL_SECONDS)
            admissible = await self._buffer.admissible_engines()
            is_admitted = any(each.id == self._engine.id for each in admissible)
            self._metrics.admissible(is_admitted)
            published = (await self._buffer.state()).version
            if self._hand and not is_admitted and published >= 0:
                # The update left this engine out; it may be paused until it has caught up.
                await self._give_back("the engine was left out of an update")
            await asyncio.sleep(_HEARTBEAT_SECONDS)

    async def _listen(self) -> None:
        """Retires an engine that does not answer, so that neither updates nor groups wait for it.

        Raises:
            EngineDiedError: it has not answered for so long that it must be replaced.
        """
        pulse = Pulse(self._engine.url, self._api_key)
        try:
            async for silence in pulse.silences():
                if silence >= _HUNG_SECONDS:
                    raise EngineDiedError(f"engine: no answer for {silence:.0f} s")
                if silence >= _SILENT_SECONDS and not self._silent:
                    self._silent = True
                    held = len(self._hand)
                    if held:
                        self._hand.shrink()
                    log.warning(
                        "engine.silent",
                        engine=self._engine.id,
                        seconds=round(silence),
                        groups=held,
                        limit=self._hand.limit,
                    )
                    await self._buffer.retire(self._engine.id)
                    await self._give_back("the engine does not answer")
                elif silence == 0 and self._silent:
                    self._engine = self._new_engine()
                    self._silent = False
                    log.info("engine.answers", engine=self._engine.id)
        finally:
            await pulse.close()

    async def _give_back(self, reason: str) -> None:
        """Gives all groups back, to be generated from the start by other engines."""
        for task in self._requests:
            task.cancel()
        for lease in self._hand.leases:
            log.info("group.given_back", group=lease.group.id, reason=reason)
            self._hand.drop(lease)
            await self._buffer.release(lease)

    async def _renew(self) -> None:
        """Renews leases, and drops lost ones: claimed by other workers, or of an old trainer."""
        while True:
            await asyncio.sleep(min(self._spec.rollout.lease_seconds / 3, _RENEW_SECONDS))
            leases = self._hand.leases
            owned = await self._buffer.renew(leases)
            newest = max((lease.group.incarnation for lease in leases), default=0)
            for lease in leases:
                group = lease.group
                # Ids repeat in another incarnation, so `owned` may mean another group.
                kept = group.id in owned and group.incarnation == newest
                if kept or lease not in self._hand:
                    continue
                log.info("lease.lost", group=group.id, incarnation=group.incarnation)
                self._hand.drop(lease)
            for task, portion in list(self._requests.items()):
                if not any(lease in self._hand for lease in portion):
                    task.cancel()

    async def _interrupt(self) -> None:
        """Hands over what is being generated, so that other workers continue from there."""
        self._leaving = True
        if self._serving is None or not self._requests:
            return
        try:
            async with asyncio.timeout(_INTERRUPT_SECONDS):
                await self._serving.interrupt()
                await asyncio.gather(*self._requests, return_exceptions=True)
        except (TimeoutError, RefusedError, EngineSilentError, BufferUnavailable) as error:
            # These groups will be generated from the start.
            log.warning("worker.not_interrupted", error=str(error) or type(error).__name__)

    async def _leave(self) -> None:
        """Gives everything back, so that other workers can continue at once."""
        self._metrics.engine("stopped")
        released = 0
        try:
            async with asyncio.timeout(_FAREWELL_SECONDS):
                for lease in self._hand.leases:
                    await self._buffer.release(lease)
                    released += 1
                await self._buffer.retire(self._engine.id)
        except (TimeoutError, BufferUnavailable, RedisError) as error:
            # Then the leases lapse and the registration expires.
            log.warning("worker.left_silently", error=str(error) or type(error).__name__)
        await self._process.stop()
        await self._scorer.close()
        await self._buffer.close()
        self._server.close()
        log.info("worker.stopped", released=released)
