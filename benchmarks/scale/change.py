"""From a change of a job to the last write that it causes, as a watch sees it."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from benchmarks.scale.api import Api, Manifest
from benchmarks.scale.workload import NAMESPACE
from rljob_operator.kind import CHILDREN, RLJOB

PER_SECOND = 5.0
_PATIENCE = 30.0  # s for one change
_DEPLOYMENT = next(kind for kind in CHILDREN if kind.name == "Deployment")


class Watcher:
    """Watches jobs and Deployments to see when a change of replicas is done.

    It is done when the rollout Deployment has the new number and the job's status has the new
    generation: the operator writes the status last, once per pass.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._replicas: dict[str, int] = {}
        self._generation: dict[str, int] = {}
        self._waiting: dict[str, asyncio.Event] = {}

    async def __aenter__(self) -> "Watcher":
        version = (await self._api.request("GET", RLJOB.path(NAMESPACE), limit="1"))["metadata"]
        follow = [(RLJOB.path(NAMESPACE), self._job), (_DEPLOYMENT.path(NAMESPACE), self._child)]
        self._tasks = [
            asyncio.create_task(self._follow(path, version["resourceVersion"], see))
            for path, see in follow
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until(self, name: str, generation: int, replicas: int) -> None:
        """Returns when both are there; raises TimeoutError after half a minute."""
        news = self._waiting[name] = asyncio.Event()
        try:
            async with asyncio.timeout(_PATIENCE):
                while (
                    self._generation.get(name, 0) < generation
                    or self._replicas.get(name) != replicas
                ):
                    news.clear()
                    await news.wait()
        finally:
            del self._waiting[name]

    async def _follow(self, path: str, version: str, see: Callable[[Manifest], str]) -> None:
        async for item in self._api.watch(path, version):
            news = self._waiting.get(see(item))
            if news is not None:
                news.set()

    def _job(self, item: Manifest) -> str:
        name: str = item["metadata"]["name"]
        self._generation[name] = item.get("status", {}).get("observedGeneration", 0)
        return name

    def _child(self, item: Manifest) -> str:
        name: str = item["metadata"]["name"].removesuffix("-rollout")
        if name != item["metadata"]["name"]:  # not the router's
            self._replicas[name] = item["spec"]["replicas"]
        return name


async def patch(api: Api, name: str, replicas: int) -> int:
    """Sets another number of rollout replicas; returns the job's new generation."""
    body = {"spec": {"rollout": {"replicas": replicas}}}
    reply = await api.request("PATCH", RLJOB.path(NAMESPACE, name), body, "merge-patch+json")
    generation: int = reply["metadata"]["generation"]
    return generation


async def by_operator(api: Api, names: list[str], changes: int) -> list[float]:
    """Seconds that each of this many changes takes, made at a steady rate."""
    async with Watcher(api) as watcher:

        async def one(name: str, replicas: int) -> None:
            generation = await patch(api, name, replicas)
            await watcher.until(name, generation, replicas)

        return await _at_a_rate(one, names, changes)


async def by_hand(api: Api, names: list[str], changes: int) -> list[float]:
    """The same for a client that makes the same writes one by one, knowing them beforehand."""

    async def one(name: str, replicas: int) -> None:
        generation = await patch(api, name, replicas)
        path = _DEPLOYMENT.path(NAMESPACE, f"{name}-rollout")
        await api.request("PATCH", path, {"spec": {"replicas": replicas}}, "merge-patch+json")
        status = {"status": {"observedGeneration": generation}}
        path = f"{RLJOB.path(NAMESPACE, name)}/status"
        await api.request("PATCH", path, status, "merge-patch+json")

    return await _at_a_rate(one, names, changes)


async def _at_a_rate(
    one: Callable[[str, int], Awaitable[None]], names: list[str], changes: int
) -> list[float]:
    """Seconds of each change; changes start at a steady rate, whether or not others are done."""
    seconds: list[float] = []

    async def timed(name: str, replicas: int) -> None:
        began = time.perf_counter()
        await one(name, replicas)
        seconds.append(time.perf_counter() - began)

    order = random.Random(1).sample(names, len(names))
    async with asyncio.TaskGroup() as group:
        for number in range(changes):
            # A job is changed again only after all others.
            turn, place = divmod(number, len(order))
            group.create_task(timed(order[place], 3 - turn % 2))
            await asyncio.sleep(1 / PER_SECOND)
    return seconds
