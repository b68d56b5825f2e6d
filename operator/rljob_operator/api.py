"""HTTP client of the API server: bytes in, bytes out."""

import ssl
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
from kubernetes.aio.client import Configuration

from rljob_operator.metrics import Metrics

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"  # JSON is YAML
PARTIAL = f"{JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
PARTIAL_LIST = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

_REQUEST = aiohttp.ClientTimeout(total=60)
# The server sends a bookmark every minute: a stream that is silent for longer is dead.
_STREAM = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=150)
_CONNECTIONS = 64
_LARGEST_EVENT = 8 * 2**20  # bytes; etcd refuses objects over 1.5 MiB


class ApiError(Exception):
    """An error reply of the API server.

    Args:
        code: HTTP status.
        reason: the server's reason, e.g. Conflict.
        message: human-readable message.
        retry_after: seconds that the server asks to wait; 0 if it does not say.
    """

    def __init__(self, code: int, reason: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class _Status(msgspec.Struct):
    reason: str = ""
    message: str = ""


class Api:
    """A connection pool with the credentials of the configuration.

    An unreachable server raises OSError or aiohttp.ClientError, an error reply ApiError, a request
    that takes longer than a minute TimeoutError.
    """

    def __init__(self, configuration: Configuration, metrics: Metrics) -> None:
        """Use it as a context manager, which opens the pool."""
        self._configuration = configuration
        self._metrics = metrics

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            base_url=self._configuration.host,
            connector=aiohttp.TCPConnector(limit=0, ssl=_ssl_context(self._configuration)),
            headers={"User-Agent": "rljob-operator"},
            timeout=_REQUEST,
            read_bufsize=2**18,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        content_type: str = JSON,
        accept: str = JSON,
        query: Mapping[str, str] | None = None,
    ) -> bytes:
        """Send a request, and return the body of the reply."""
        headers = await self._headers(accept)
        if body is not None:
            headers["Content-Type"] = content_type
        try:
            async with self._session.request(
                method, path, data=body, params=query, headers=headers
            ) as reply:
                self._metrics.request(method, reply.status)
                content = await reply.read()
                if reply.status >= 400:
                    raise _error(reply, content)
                return content
        except (aiohttp.ClientError, OSError, TimeoutError):
            self._metrics.request(method, 0)
            raise

    async def stream(
        self, path: str, *, accept: str = JSON, query: Mapping[str, str]
    ) -> AsyncIterator[bytes]:
        """The lines of a streamed reply, until the server ends it."""
        headers = await self._headers(accept)
        async with self._session.get(path, params=query, headers=headers, timeout=_STREAM) as reply:
            self._metrics.request("WATCH", reply.status)
            if reply.status >= 400:
                raise _error(reply, await reply.read())
            async for line in _lines(reply.content):
                yield line

    async def _headers(self, accept: str) -> dict[str, str]:
        headers = {"Accept": accept}
        # Also reloads a token that was rotated on disk.
        token = await self._configuration.get_api_key_with_prefix(
            "BearerToken", alias="authorization"
        )
        if token:
            headers["Authorization"] = token
        return headers


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Split a stream into lines, each at most as long as the largest event."""
    rest = bytearray()
    async for chunk in content.iter_any():
        rest += chunk
        if len(rest) > _LARGEST_EVENT and b"\n" not in rest:
            raise aiohttp.ClientPayloadError(f"a watch event of more than {_LARGEST_EVENT} bytes")
        *whole, tail = rest.split(b"\n")
        rest = tail
        for line in whole:
            if line:
                yield bytes(line)


def _error(reply: aiohttp.ClientResponse, content: bytes) -> ApiError:
    try:
        status = msgspec.json.decode(content, type=_Status)
    except msgspec.DecodeError:
        status = _Status(message=content[:500].decode(errors="replace"))
    wait = reply.headers.get("Retry-After", "")
    return ApiError(
        reply.status,
        status.reason or (reply.reason or ""),
        status.message,
        float(wait) if wait.isdecimal() else 0.0,
    )


def _ssl_context(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data
    )
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def encode(value: Any) -> bytes:
    """Encode a value as JSON."""
    return msgspec.json.encode(value)
