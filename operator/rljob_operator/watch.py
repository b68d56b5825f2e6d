"""Lists and watches: the API server's objects of one kind, kept up to date in a store.

kopf's streams read whole objects at a millisecond each. Of most children only the metadata matters,
and there are a dozen for each job, so these are read here.
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
_PAGE = 200  # objects; what they cost nobody else has to wait for longer
_STREAM_SECONDS = 290  # the server ends a watch then; connections may be cut after five minutes
_BACKOFF = (0.5, 1.0, 2.0, 5.0, 10.0)  # s
_GONE = 410  # the server no longer knows what changed since
UNREACHABLE = (aiohttp.ClientError, OSError, TimeoutError)
T = TypeVar("T")


class Store(Protocol):
    """Where the objects go."""

    def put(self, kind: Kind, item: Item) -> None:
        """This was made or changed."""

    def keep(self, kind: Kind, namespace: str | None, there: Container[str], version: int) -> None:
        """Those with these uids are all there were at a resource version."""

    def drop(self, kind: Kind, item: Item) -> None:
        """This has gone."""


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
    """One kind in one namespace, or in all."""

    def __init__(
        self, api: Api, kind: Kind, namespace: str | None, store: Store, resync_seconds: float
    ) -> None:
        """Nothing is read yet; `run` does it.

        Args:
            api: the server.
            kind: of the objects; those with the label of a job are read.
            namespace: None: all.
            store: where they go.
            resync_seconds: between two lists, which find what a watch has lost.
        """
        self._api = api
        self._kind = kind
        self._namespace = namespace
        self._store = store
        self._resync = resync_seconds
        self.type: type[Item] = item_type(kind)
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Never ends."""
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
        """Until the next list is due."""
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
        """Handles an event; the version that it brings."""
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
    """Objects, some hundred at a time, and the resource version that they are of.

    Args:
        api: the server.
        kind: of the objects.
        namespace: None: all.
        item: what is read of each.
        selector: parameters of the request that choose among them.
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
    """What is read of the objects of a kind."""
    if kind is POD:
        return PodObject
    return Workload if kind.whole else Partial
