"""The operator's own key, from which the keys of all jobs are derived."""

import base64
import secrets

from kubernetes.aio.client import (
    ApiClient,
    ApiException,
    Configuration,
    CoreV1Api,
    V1ObjectMeta,
    V1Secret,
)

from rljob.errors import UsageError

SECRET = "rljob-operator-key"  # noqa: S105 - a name
_ENTRY = "cluster.key"
_BYTES = 32
_NOT_FOUND, _CONFLICT = 404, 409


async def cluster_key(configuration: Configuration, namespace: str) -> bytes:
    """The key; made at random where there is none.

    Args:
        configuration: of the API server.
        namespace: of the operator.

    Raises:
        UsageError: the Secret is there, and has no key of 32 bytes.
    """
    async with ApiClient(configuration) as client:
        core = CoreV1Api(client)
        try:
            secret = await core.read_namespaced_secret(SECRET, namespace)
        except ApiException as error:
            if error.status != _NOT_FOUND:
                raise
            secret = await _create(core, namespace)
    value = base64.b64decode((secret.data or {}).get(_ENTRY, ""))
    if len(value) != _BYTES:
        raise UsageError(
            f"Secret {namespace}/{SECRET}: found {_ENTRY} of {len(value)} bytes, allowed {_BYTES} "
            "random bytes; all jobs' keys are derived from it"
        )
    return value


async def _create(core: CoreV1Api, namespace: str) -> V1Secret:
    value = base64.b64encode(secrets.token_bytes(_BYTES)).decode()
    body = V1Secret(metadata=V1ObjectMeta(name=SECRET), type="Opaque", data={_ENTRY: value})
    try:
        return await core.create_namespaced_secret(namespace, body)
    except ApiException as error:
        if error.status != _CONFLICT:
            raise
        return await core.read_namespaced_secret(SECRET, namespace)  # another was faster
