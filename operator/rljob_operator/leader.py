"""One operator leads at a time: the holder of a Lease."""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from kubernetes.aio.client import (
    ApiClient,
    ApiException,
    Configuration,
    CoordinationV1Api,
    V1Lease,
    V1ObjectMeta,
)
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

from rljob_operator.settings import Settings
from rljob_operator.watch import UNREACHABLE

log = structlog.get_logger()
LEASE = "rljob-operator"
_LEASE_SECONDS, _RENEW_SECONDS, _RETRY_SECONDS = 15, 10, 3


async def lead(
    configuration: Configuration, settings: Settings, started: Callable[[], None]
) -> None:
    """Waits until this operator leads, and returns when it leads no more.

    Where it is cancelled it gives the Lease up, so that another need not wait for its end.

    Args:
        configuration: of the API server.
        settings: of the operator.
        started: called once, when it leads.
    """
    async with ApiClient(configuration) as client:
        lock = _Lock(LEASE, settings.own_namespace, settings.identity, client)

        async def begun() -> None:
            log.info("leader.elected", identity=settings.identity)
            started()

        async def over() -> None:
            log.error("leader.lost", identity=settings.identity)

        config = Config(lock, _LEASE_SECONDS, _RENEW_SECONDS, _RETRY_SECONDS, begun, over)
        try:
            await LeaderElection(config).run()
        except asyncio.CancelledError:
            await _release(client, settings)
            raise


class _Lock(LeaseLock):
    """A Lease whose server may be away for a while: that is no end of the election."""

    async def get(self, name: str, namespace: str) -> Any:
        try:
            return await super().get(name, namespace)
        except UNREACHABLE as error:
            return False, ApiException(reason=f"{type(error).__name__}: {error}")

    async def create(self, name: str, namespace: str, election_record: Any) -> bool:
        # Not the library's own: of kubernetes 37 it passes an argument that its client refuses.
        lease = V1Lease(metadata=V1ObjectMeta(name=name), spec=self.update_lease(election_record))
        try:
            await self.api_instance.create_namespaced_lease(namespace, lease)
        except (ApiException, *UNREACHABLE) as error:
            log.warning("leader.create_failed", error=f"{type(error).__name__}: {error}")
            return False
        return True

    async def update(self, name: str, namespace: str, updated_record: Any) -> bool:
        try:
            return bool(await super().update(name, namespace, updated_record))
        except UNREACHABLE:
            return False


async def _release(client: ApiClient, settings: Settings) -> None:
    leases = CoordinationV1Api(client)
    try:
        lease = await leases.read_namespaced_lease(LEASE, settings.own_namespace)
        if lease.spec and lease.spec.holder_identity == settings.identity:
            lease.spec.holder_identity = ""
            await leases.replace_namespaced_lease(LEASE, settings.own_namespace, lease)
    except (ApiException, *UNREACHABLE) as error:
        log.warning("leader.release_failed", error=str(error))
