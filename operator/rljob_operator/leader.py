"""Leader election: the holder of a Lease leads."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.baselock import BaseLock

from rljob_operator.api import Api, ApiError, encode
from rljob_operator.kind import LEASE
from rljob_operator.leadership import Leadership
from rljob_operator.settings import Settings
from rljob_operator.watch import UNREACHABLE

log = structlog.get_logger()
NAME = "rljob-operator"
# Another operator may take the Lease 15 s after its renewal; this one writes for 10 s after it.
# What is under way at the end is cut off within the difference.
_LEASE_SECONDS, _RENEW_SECONDS, _RETRY_SECONDS = 15, 10, 2
_REQUEST_SECONDS = 4  # so that one request without a reply leaves time for another


async def lead(
    api: Api, settings: Settings, leadership: Leadership, started: Callable[[], None]
) -> None:
    """Wait until this operator leads, and return when it no longer does.

    On cancellation it releases the Lease, so that another operator need not wait until it expires.

    Args:
        api: the server.
        settings: settings of the operator.
        leadership: extended by each renewal of the Lease.
        started: called once the operator leads.
    """
    lock = LeaseLock(api, settings, leadership)

    async def begun() -> None:
        log.info("leader.elected", identity=settings.identity)
        started()

    async def over() -> None:
        leadership.end()

    config = Config(lock, _LEASE_SECONDS, _RENEW_SECONDS, _RETRY_SECONDS, begun, over)
    # The election notices the end only after a whole round of requests.
    parts = [
        asyncio.create_task(LeaderElection(config).run(), name="election"),
        asyncio.create_task(leadership.wait_until_lost(), name="end of the Lease"),
    ]
    try:
        ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        for part in ended:
            part.result()
        log.error("leader.lost", identity=settings.identity)
    except asyncio.CancelledError:
        await _cancel(parts)
        await lock.release()
        raise
    finally:
        leadership.end()
        await _cancel(parts)


class LeaseLock(BaseLock):
    """The Lease, in the interface of the library's election.

    The library's own lock loads all Kubernetes models, 100 MiB, and treats a server that is briefly
    unreachable as the end of the election.
    """

    def __init__(self, api: Api, settings: Settings, leadership: Leadership) -> None:
        """
        Args:
            api: the server.
            settings: settings of the operator.
            leadership: extended by each renewal of the Lease.
        """
        super().__init__(NAME, settings.own_namespace, settings.identity)
        self._api = api
        self._leadership = leadership
        self._lease: dict[str, Any] = {}

    async def get(
        self, name: str, namespace: str
    ) -> tuple[bool, LeaderElectionRecord] | tuple[bool, Exception]:
        """Read the Lease; False and the error if it fails."""
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                reply = await self._api.request("GET", LEASE.path(namespace, name))
        except ApiError as error:
            failure = ApiException(error.code, error.message)
            failure.body = msgspec.json.encode({"code": error.code}).decode()
            return False, failure
        except UNREACHABLE as error:
            return False, ApiException(reason=f"{type(error).__name__}: {error}")
        self._lease = msgspec.json.decode(reply)
        spec = self._lease.get("spec") or {}
        if spec.get("holderIdentity") != self.identity:
            self._leadership.end()
        record = LeaderElectionRecord(
            spec.get("holderIdentity") or None,
            str(spec.get("leaseDurationSeconds") or "") or None,
            spec.get("acquireTime"),
            spec.get("renewTime"),
        )
        return True, record

    async def create(
        self, name: str, namespace: str, election_record: LeaderElectionRecord
    ) -> bool:
        """Create the Lease; False if another was faster."""
        lease = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.name,
            "metadata": {"name": name},
            "spec": _spec(election_record),
        }
        return await self._renew("POST", LEASE.path(namespace), lease)

    async def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:
        """Update the Lease as it was read; False if another was faster."""
        lease = {**self._lease, "spec": _spec(updated_record)}
        return await self._renew("PUT", LEASE.path(namespace, name), lease)

    async def release(self) -> None:
        """Release the Lease, if this operator holds it."""
        there, record = await self.get(self.name, self.namespace)
        if not there or not isinstance(record, LeaderElectionRecord):
            return
        if record.holder_identity == self.identity:
            self._leadership.end()
            lease = {**self._lease, "spec": {**self._lease["spec"], "holderIdentity": ""}}
            await self._write("PUT", LEASE.path(self.namespace, self.name), lease)

    async def _renew(self, method: str, path: str, lease: dict[str, Any]) -> bool:
        sent = self._leadership.now()
        if not await self._write(method, path, lease):
            return False
        self._leadership.extend(sent + _RENEW_SECONDS)
        return True

    async def _write(self, method: str, path: str, lease: dict[str, Any]) -> bool:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                await self._api.request(method, path, encode(lease))
        except (ApiError, *UNREACHABLE) as error:
            log.warning("lease.write_failed", error=f"{type(error).__name__}: {error}")
            return False
        return True


def _spec(record: LeaderElectionRecord) -> dict[str, Any]:
    return {
        "holderIdentity": record.holder_identity,
        "leaseDurationSeconds": int(float(record.lease_duration or _LEASE_SECONDS)),
        "acquireTime": _time(record.acquire_time),
        "renewTime": _time(record.renew_time),
    }


def _time(text: str | None) -> str:
    """A time from the election or from a Lease, in the format of a Lease."""
    time = datetime.fromisoformat(text) if text else datetime.now(UTC)
    # The election's times are local times without a zone.
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
