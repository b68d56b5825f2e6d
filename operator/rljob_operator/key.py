"""The operator's own key, from which the keys of all jobs are derived."""

import asyncio
import base64
import secrets

import msgspec
import structlog

from rljob.errors import UsageError
from rljob_operator.api import Api, ApiError, encode
from rljob_operator.kind import SECRET
from rljob_operator.watch import UNREACHABLE

NAME = "rljob-operator-key"
_ENTRY = "cluster.key"
_BYTES = 32
_NOT_FOUND = 404
_RETRY_SECONDS = 2.0
log = structlog.get_logger()


class _Secret(msgspec.Struct):
    data: dict[str, str] | None = None


async def wait_for_key(api: Api, namespace: str) -> bytes:
    """Like `cluster_key`, retried until the server replies without an error."""
    while True:
        try:
            return await cluster_key(api, namespace)
        except (ApiError, *UNREACHABLE) as error:
            log.warning("key.failed", error=f"{type(error).__name__}: {error}")
        await asyncio.sleep(_RETRY_SECONDS)


async def cluster_key(api: Api, namespace: str) -> bytes:
    """The key; a random one is created if there is none.

    Args:
        api: the server.
        namespace: namespace of the operator.

    Raises:
        UsageError: the Secret exists but has no key of 32 bytes.
    """
    try:
        reply = await _read(api, namespace)
    except ApiError as error:
        if error.code != _NOT_FOUND:
            raise
        reply = await _create(api, namespace)
    data = msgspec.json.decode(reply, type=_Secret).data or {}
    value = base64.b64decode(data.get(_ENTRY, ""))
    if len(value) != _BYTES:
        raise UsageError(
            f"Secret {namespace}/{NAME}: found {_ENTRY} of {len(value)} bytes, allowed {_BYTES} "
            "random bytes; all jobs' keys are derived from it"
        )
    return value


async def _read(api: Api, namespace: str) -> bytes:
    return await api.request("GET", SECRET.path(namespace, NAME))


async def _create(api: Api, namespace: str) -> bytes:
    secret = {
        "apiVersion": SECRET.api_version,
        "kind": SECRET.name,
        "metadata": {"name": NAME},
        "type": "Opaque",
        "data": {_ENTRY: base64.b64encode(secrets.token_bytes(_BYTES)).decode()},
    }
    try:
        return await api.request("POST", SECRET.path(namespace), encode(secret))
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
        return await _read(api, namespace)  # another was faster
