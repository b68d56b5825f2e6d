"""The control loop: changes make a job due, a pass decides, and the decision is performed."""

import asyncio
import random
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog

from rljob_operator.api import Api, ApiError
from rljob_operator.apply import Applier
from rljob_operator.cache import Cache
from rljob_operator.discovery import optional_kinds
from rljob_operator.kind import CHILDREN, POD, RLJOB, Kind
from rljob_operator.leadership import Leadership, NotLeadingError
from rljob_operator.metrics import Metrics
from rljob_operator.observed import Cluster
from rljob_operator.queue import WorkQueue
from rljob_operator.reconcile import reconcile
from rljob_operator.reports import Reports
from rljob_operator.settings import Settings
from rljob_operator.shortfall import Shortfalls
from rljob_operator.watch import UNREACHABLE, Reflector, pages

log = structlog.get_logger()


class Engine:
    """The whole operator except the stream of RLJobs (kopf) and the leader election."""

    def __init__(
        self,
        api: Api,
        settings: Settings,
        cluster: Cluster,
        metrics: Metrics,
        leadership: Leadership,
    ) -> None:
        """Nothing runs until `observe` and `work`.

        Args:
            api: the server.
            settings: settings of the operator.
            cluster: the operator's key and images; installed kinds are discovered here.
            metrics: the operator's metrics.
            leadership: asked before each write.
        """
        self._api = api
        self._settings = settings
        self._cluster = cluster
        self._metrics = metrics
        self._queue = WorkQueue()
        self.cache = Cache(self._queue.add)
        self._reports = Reports(self._queue.add)
        self._applier = Applier(api, self.cache, settings.identity, metrics, leadership)
        self._shortfalls = Shortfalls(api)
        self._reflectors: dict[Kind, list[tuple[Reflector, asyncio.Task[None]]]] = {}
        self._passes: set[asyncio.Task[None]] = set()
        self._stopping = False
        metrics.watch_queue(lambda: len(self._queue))
        metrics.watch_jobs(self.cache, leadership.holds)

    def ready(self) -> bool:
        """Whether all children have been read once."""
        return bool(self._reflectors) and all(
            reflector.synced.is_set()
            for reflectors in self._reflectors.values()
            for reflector, _ in reflectors
        )

    def drop_job(self, manifest: Mapping[str, Any]) -> None:
        """Remove a job that was deleted."""
        metadata = manifest["metadata"]
        self.cache.drop_job(f"{metadata['namespace']}/{metadata['name']}", metadata["uid"])

    async def observe(self) -> None:
        """Keep the cache up to date; never returns."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reports.run())
            always = [POD, *(kind for kind in CHILDREN if kind.watched and not kind.optional)]
            first = True
            while True:
                try:
                    kinds = await optional_kinds(self._api)
                    self._follow([*always, *kinds], group)
                    if not first:
                        await self._list_jobs()
                    first = False
                    pause = self._settings.resync_seconds * random.uniform(0.9, 1.1)  # noqa: S311
                except (ApiError, *UNREACHABLE) as error:
                    log.warning("resync.failed", error=f"{type(error).__name__}: {error}")
                    pause = 5.0
                await asyncio.sleep(pause)

    async def work(self) -> None:
        """Run passes over the jobs that are due, until `stop`."""
        slots = asyncio.Semaphore(self._settings.workers)
        while not self.ready():
            await asyncio.sleep(0.05)  # existing children must not be created again
        while not self._stopping:
            await slots.acquire()
            key, waited = await self._queue.get()
            self._metrics.waits.observe(waited)
            task = asyncio.create_task(self._pass(key), name=key)
            self._passes.add(task)
            task.add_done_callback(self._passes.discard)
            task.add_done_callback(lambda _: slots.release())

    async def stop(self, seconds: float) -> None:
        """Start no more passes, and give the running ones some time to end."""
        self._stopping = True
        if self._passes and seconds:
            await asyncio.wait(self._passes, timeout=seconds)
        for task in self._passes:
            task.cancel()

    async def _pass(self, key: str) -> None:
        began = time.perf_counter()
        try:
            requeue = await self._reconcile(key)
        except (ApiError, NotLeadingError, *UNREACHABLE) as error:
            self._failed(key, error, retry_after=getattr(error, "retry_after", 0.0))
        except Exception as error:
            # A bug in the operator must only fail this pass, and not affect other jobs.
            log.exception("pass.crashed", job=key)
            self._failed(key, error)
        else:
            self._queue.done(key, requeue)
        finally:
            self._metrics.passes.observe(time.perf_counter() - began)

    async def _reconcile(self, key: str) -> float | None:
        """Run one pass; returns the seconds until the next, or None."""
        observed = self.cache.observed(key, self._reports.of(key), self._cluster)
        self._reports.follow(key, observed)
        if observed is None:
            self._queue.forget(key)
            self._applier.denials.forget(key)
            self._shortfalls.forget(key)
            return None
        observed = await self._shortfalls.explained(key, observed)
        observed = replace(observed, denials=self._applier.denials.of(key))
        # Kubernetes' times have a resolution of seconds.
        decision = reconcile(observed, datetime.now(UTC).replace(microsecond=0))
        if not await self._applier.perform(observed.manifest, decision):
            return 0.0  # the next pass reports why an action failed
        due = decision.requeue.total_seconds() if decision.requeue is not None else None
        times = [due, self._applier.denials.again(key), self._shortfalls.again(key)]
        return min((each for each in times if each is not None), default=None)

    def _failed(self, key: str, error: Exception, retry_after: float = 0.0) -> None:
        kind = error.reason if isinstance(error, ApiError) else type(error).__name__
        self._metrics.error(kind)
        seconds = self._queue.failed(key, retry_after)
        log.warning("pass.failed", job=key, error=str(error), again_seconds=round(seconds, 1))

    def _follow(self, kinds: Iterable[Kind], group: asyncio.TaskGroup) -> None:
        """Watch exactly these kinds."""
        wanted = set(kinds)
        for kind in self._reflectors.keys() - wanted:
            for _, task in self._reflectors.pop(kind):
                task.cancel()
            self.cache.keep(kind, None, set(), sys.maxsize)
        for kind in wanted - self._reflectors.keys():
            reflectors = [
                Reflector(self._api, kind, scope, self.cache, self._settings.resync_seconds)
                for scope in self._settings.scopes
            ]
            self._reflectors[kind] = [
                (each, group.create_task(each.run(), name=f"watch {kind.name}"))
                for each in reflectors
            ]
        known = frozenset(f"{kind.group}/{kind.name}" for kind in wanted if kind.optional)
        if known != self._cluster.kinds:
            self._cluster = replace(self._cluster, kinds=known)
            for key, _ in self.cache.jobs():
                self._queue.add(key)

    async def _list_jobs(self) -> None:
        """List all jobs, to find changes that kopf's stream has missed."""
        for scope in self._settings.scopes:
            there: set[str] = set()
            version = ""
            async for page, at in pages(self._api, RLJOB, scope, dict[str, Any]):
                version = at
                for job in page:  # items of a list have no apiVersion and kind
                    job.update(apiVersion=RLJOB.api_version, kind=RLJOB.name)
                    self.cache.put_job(job)
                    there.add(job["metadata"]["uid"])
            self.cache.keep_jobs(scope, there, int(version))
