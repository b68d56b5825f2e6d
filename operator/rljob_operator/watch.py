"""Lists and watches: keep the objects of one kind up to date in a store.

kopf's streams parse whole objects, at a millisecond each. Each job has a dozen children, and most
need only their metadata, so they are read here instead.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Container, Mapping
from typing import Any, Protocol, TypeVar

import aiohttp
import msgspec
import structlog

from rljob_operator import names
from rljob_operator.api import JSON, PARTIAL, PARTIAL_LIST, Api, ApiError
from rljob_operator.cache import Item
from rljob_operator.kind import POD, Kind
from rljob_operator.objects import Partial, PodObject, Workload

log = structlog.get_logger()
_PAGE = 200  # objects per page, so that parsing a page does not block the event loop for long
_STREAM_SECONDS = 290  # the server ends a watch then; connections may be cut after five minutes
_BACKOFF = (0.5, 1.0, 2.0, 5.0, 10.0)  # s
_GONE = 410  # the server no longer has the changes since that version
UNREACHABLE = (aiohttp.ClientError, OSError, TimeoutError)
T = TypeVar("T")


class Store(Protocol):
    """Where the objects are stored."""

    def put(self, kind: Kind, item: Item) -> None:
        """Store an object that was created or changed."""

    def keep(self, kind: Kind, namespace: str | None, there: Container[str], version: int) -> None:
        """Keep only the objects with these uids, as of a resource version."""

    def drop(self, kind: Kind, item: Item) -> None:
        """Remove an object that was deleted."""


class _ListMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Version(msgspec.Struct, rename="camel"):
    resource_version: str


class _Bookmark(msgspec.Struct):
    metadata: _Version


class _Error(msgspec.Struct):
    code: int = 0
    reason: str = ""
    message: str = ""


class Reflector:
    """Lists and watches one kind in one namespace, or in all."""

    def __init__(
        self, api: Api, kind: Kind, namespace: str | None, store: Store, resync_seconds: float
    ) -> None:
        """Nothing is read until `run`.

        Args:
            api: the server.
            kind: kind of the objects; only those with the label of a job are read.
            namespace: None: all.
            store: where they are stored.
            resync_seconds: seconds between two lists, which find what a watch has missed.
        """
        self._api = api
        self._kind = kind
        self._namespace = namespace
        self._store = store
        self._resync = resync_seconds
        self.type: type[Item] = item_type(kind)
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """List and watch; never returns."""
        failures = 0
        while True:
            try:
                version = await self._list()
                self.synced.set()
                failures = 0
                await self._watch(version)
            except (*UNREACHABLE, ApiError, msgspec.MsgspecError) as error:
                pause = _BACKOFF[min(failures, len(_BACKOFF) - 1)] * random.uniform(0.8, 1.2)  # noqa: S311
                failures += 1
                log.warning(
                    "watch.failed",
                    kind=self._kind.name,
                    namespace=self._namespace,
                    error=f"{type(error).__name__}: {error}",
                    again_seconds=round(pause, 1),
                )
                await asyncio.sleep(pause)

    async def _list(self) -> str:
        there: set[str] = set()
        version = ""
        selector = {"labelSelector": names.LABEL_JOB}
        async for page, at in pages(self._api, self._kind, self._namespace, self.type, selector):
            version = at
            for item in page:
                there.add(item.metadata.uid)
                self._store.put(self._kind, item)
        self._store.keep(self._kind, self._namespace, there, int(version))
        return version

    async def _watch(self, version: str) -> None:
        """Watch until the next list is due."""
        until = time.monotonic() + self._resync * random.uniform(0.9, 1.1)  # noqa: S311
        while time.monotonic() < until:
            left = max(1, min(_STREAM_SECONDS, int(until - time.monotonic())))
            query = {
                "watch": "true",
                "allowWatchBookmarks": "true",
                "labelSelector": names.LABEL_JOB,
                "resourceVersion": version,
                "timeoutSeconds": str(left),
            }
            accept = PARTIAL if self.type is Partial else JSON
            path = self._kind.path(self._namespace)
            try:
                async for line in self._api.stream(path, accept=accept, query=query):
                    version = self._take(line)
            except ApiError as error:
                if error.code == _GONE:
                    return
                raise

    def _take(self, line: bytes) -> str:
        """Handle an event, and return its resource version."""
        event = msgspec.json.decode(line, type=_Event)
        match event.type:
            case "ADDED" | "MODIFIED" | "DELETED":
                item = msgspec.json.decode(event.object, type=self.type)
                if event.type == "DELETED":
                    self._store.drop(self._kind, item)
                else:
                    self._store.put(self._kind, item)
                return item.metadata.resource_version
            case "BOOKMARK":
                return msgspec.json.decode(event.object, type=_Bookmark).metadata.resource_version
            case _:
                error = msgspec.json.decode(event.object, type=_Error)
                raise ApiError(error.code, error.reason, error.message)


async def pages(
    api: Api,
    kind: Kind,
    namespace: str | None,
    item: type[T],
    selector: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[list[T], str]]:
    """Pages of a list, each with the resource version of the list.

    Args:
        api: the server.
        kind: kind of the objects.
        namespace: None: all.
        item: type that each object is decoded to.
        selector: query parameters that select objects.
    """
    shape = msgspec.defstruct(
        "_List",
        [("metadata", _ListMetadata), ("items", list[item] | None)],  # type: ignore[valid-type]
    )
    query = {"limit": str(_PAGE), **(selector or {})}
    accept = PARTIAL_LIST if item is Partial else JSON
    while True:
        content = await api.request("GET", kind.path(namespace), accept=accept, query=query)
        page: Any = msgspec.json.decode(content, type=shape)
        yield page.items or [], page.metadata.resource_version
        if not page.metadata.continue_:
            return
        query["continue"] = page.metadata.continue_


def item_type(kind: Kind) -> type[Item]:
    """The type that objects of a kind are decoded to."""
    if kind is POD:
        return PodObject
    return Workload if kind.whole else Partial
