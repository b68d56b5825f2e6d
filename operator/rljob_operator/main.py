"""The operator's process: kopf streams the RLJobs, the engine reconciles while it leads."""

import asyncio
import math
import signal
import sys
import time
from typing import Any

import kopf
import structlog
from kubernetes.aio import config
from kubernetes.aio.client import Configuration
from prometheus_client import REGISTRY

from rljob.errors import UsageError
from rljob.telemetry.server import StatusServer
from rljob_operator.api import Api
from rljob_operator.discovery import wait_for_jobs
from rljob_operator.engine import Engine
from rljob_operator.key import wait_for_key
from rljob_operator.kind import RLJOB
from rljob_operator.leader import lead
from rljob_operator.leadership import Leadership
from rljob_operator.metrics import Metrics
from rljob_operator.observed import Cluster
from rljob_operator.settings import Settings

log = structlog.get_logger()
_REQUEST_SECONDS = 60
_STREAM_SECONDS = 290
_DRAIN_SECONDS = 20.0  # for running passes; each takes a few requests
_DEAD_SECONDS = 60.0  # without a turn of the event loop
# The API server accepts objects with 10,000 levels, and JSON is parsed recursively: one such job
# could otherwise crash the operator. `rljob.api.review` refuses it later.
_RECURSIONS = 30_000


async def operate(settings: Settings) -> int:
    """Run the operator until SIGTERM or SIGINT.

    Returns:
        0 after a signal; 1 after an error that needs a restart.

    Raises:
        UsageError: the configuration is wrong.
    """
    sys.setrecursionlimit(_RECURSIONS)
    operator = Operator(settings, await _configuration())
    try:
        return await operator.run()
    finally:
        operator.close()


class Operator:
    """The operator's process; see `operate`."""

    def __init__(self, settings: Settings, configuration: Configuration) -> None:
        self._settings = settings
        self._configuration = configuration
        self._metrics = Metrics(REGISTRY)
        self._engine: Engine | None = None
        self._stop = asyncio.Event()
        self._leads = asyncio.Event()
        self._leadership = Leadership()
        self._turned = time.monotonic()
        self._server = StatusServer(
            settings.host,
            settings.metrics_port,
            REGISTRY,
            self._status,
            ready=self._ready,
            healthy=lambda: time.monotonic() - self._turned < _DEAD_SECONDS,
        )
        self._server.start()

    def close(self) -> None:
        """Free the port."""
        self._server.close()

    async def run(self) -> int:
        """Run until a signal, or until a part ends unexpectedly."""
        self._listen()
        turns = asyncio.create_task(self._turn(), name="turns")
        stop = asyncio.create_task(self._stop.wait(), name="signal")
        async with Api(self._configuration, self._metrics) as api:
            prepare = asyncio.create_task(self._prepare(api), name="preparation")
            await asyncio.wait({prepare, stop}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                await _cancel(prepare, turns)
                return 0
            engine = self._engine = await prepare
            stop_kopf = asyncio.Event()
            work = asyncio.create_task(self._work(engine), name="work")
            lead = asyncio.create_task(self._lead(api), name="leadership")
            observe = asyncio.create_task(engine.observe(), name="observation")
            jobs = asyncio.create_task(self._jobs(engine, stop_kopf), name="stream of jobs")
            parts = {turns, stop, work, lead, observe, jobs}
            ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            # An operator that has lost the Lease must not write any more.
            await engine.stop(0.0 if lead in ended else _DRAIN_SECONDS)
            await _cancel(work, lead, observe, turns)
            stop_kopf.set()
            await asyncio.wait({jobs}, timeout=_DRAIN_SECONDS)
        for part in ended - {stop}:
            log.error("operator.failed", part=part.get_name(), exc_info=part.exception())
        return 0 if ended == {stop} else 1

    async def _prepare(self, api: Api) -> Engine:
        settings = self._settings
        await wait_for_jobs(api)
        key = await wait_for_key(api, settings.own_namespace)
        images = {"trainer": settings.trainer_image, "rollout": settings.rollout_image}
        cluster = Cluster(key=key, images=images)
        return Engine(api, settings, cluster, self._metrics, self._leadership)

    async def _lead(self, api: Api) -> None:
        if self._settings.leader_election:
            await lead(api, self._settings, self._leadership, self._leads.set)
        else:
            self._leadership.extend(math.inf)
            self._leads.set()
            await asyncio.Event().wait()

    async def _work(self, engine: Engine) -> None:
        await self._leads.wait()
        self._metrics.leading.set(1)
        await engine.work()

    async def _jobs(self, engine: Engine, stop: asyncio.Event) -> None:
        """Stream RLJobs into the cache; kopf keeps the stream open."""
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**given: Any) -> kopf.ConnectionInfo | None:
            return kopf.login_with_service_account(**given) or kopf.login_with_kubeconfig(**given)

        @kopf.on.event(RLJOB.group, RLJOB.version, RLJOB.plural, registry=registry)
        async def job_event(event: kopf.RawEvent, **_: Any) -> None:
            if event["type"] == "DELETED":
                engine.drop_job(event["object"])
            else:
                engine.cache.put_job(event["object"])

        others = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=registry,
            settings=_kopf_settings(),
            standalone=True,
            # kopf would ask for the user's name, and the user of a pod need not have one.
            identity=self._settings.identity,  # type: ignore[arg-type]  # NewType of str, private
            clusterwide=not self._settings.namespaces,
            namespaces=self._settings.namespaces,
            stop_flag=stop,
        )
        self._listen()  # replaces kopf's signal handlers, which would cut off running passes
        await kopf.run_tasks(tasks, ignored=others)

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

    async def _turn(self) -> None:
        while True:
            self._turned = time.monotonic()
            await asyncio.sleep(1)

    def _ready(self) -> bool:
        return self._engine is not None and self._engine.ready()

    def _status(self) -> dict[str, Any]:
        jobs = len(self._engine.cache.jobs()) if self._engine is not None else 0
        leads = self._leadership.holds()
        return {"identity": self._settings.identity, "leads": leads, "jobs": jobs}


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False  # the engine posts events, for decisions only
    settings.scanning.disabled = True  # it needs rights on CRDs and namespaces, and is not useful
    settings.networking.request_timeout = _REQUEST_SECONDS
    settings.watching.server_timeout = _STREAM_SECONDS
    settings.watching.client_timeout = _STREAM_SECONDS + _REQUEST_SECONDS
    # The server sends a bookmark every minute: a stream that is silent for longer is dead.
    settings.watching.inactivity_timeout = 150
    settings.queueing.idle_timeout = 1.0  # kopf keeps a task for each recently changed job
    return settings


async def _configuration() -> Configuration:
    configuration = Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        try:
            await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            raise UsageError(
                f"no cluster: {error}; run in a pod with a service account, or set KUBECONFIG"
            ) from error
    return configuration


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
