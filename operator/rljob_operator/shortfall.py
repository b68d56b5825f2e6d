"""Why a StatefulSet has too few pods, which its controller tells in events only.

A Deployment has a condition for it. Events are neither watched nor cached: they are read for the
few StatefulSets that lack pods, and only after a while, because each lacks some at first.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec
import structlog

from rljob_operator.api import Api, ApiError
from rljob_operator.kind import EVENT
from rljob_operator.objects import Metadata
from rljob_operator.observed import Child, Observed, Ref
from rljob_operator.queue import backoff
from rljob_operator.watch import UNREACHABLE

log = structlog.get_logger()
_FAILED, _SUCCEEDED = "FailedCreate", "SuccessfulCreate"


class _Event(msgspec.Struct):
    metadata: Metadata
    reason: str = ""
    note: str = ""


class _Events(msgspec.Struct):
    items: list[_Event]


@dataclass(slots=True)
class _Lack:
    """StatefulSets of a job that lack pods.

    Args:
        next: time of the next look at their events.
        looks: so far.
        words: of their controller, by name.
    """

    next: float
    looks: int
    words: dict[str, str]


class Shortfalls:
    """The shortfalls of all jobs."""

    def __init__(self, api: Api, clock: Callable[[], float] = time.monotonic) -> None:
        """None are known.

        Args:
            api: the server.
            clock: monotonic clock, in seconds.
        """
        self._api = api
        self._clock = clock
        self._lacks: dict[str, _Lack] = {}

    def forget(self, key: str) -> None:
        """The job was deleted."""
        self._lacks.pop(key, None)

    def again(self, key: str) -> float | None:
        """Seconds until the next look for a job; None: it lacks no pods."""
        lack = self._lacks.get(key)
        return None if lack is None else max(0.0, lack.next - self._clock())

    async def explained(self, key: str, observed: Observed) -> Observed:
        """The observation, in which each StatefulSet that lacks pods has its `trouble`."""
        lacking = {
            ref: child for ref, child in observed.children.items() if _lacks(child, observed)
        }
        if not lacking:
            self.forget(key)
            return observed
        now = self._clock()
        lack = self._lacks.setdefault(key, _Lack(now + backoff(1), 0, {}))
        if now >= lack.next:
            lack.looks += 1
            lack.next = now + backoff(lack.looks)
            namespace = observed.manifest["metadata"]["namespace"]
            lack.words = {ref.name: await self._words(namespace, ref) for ref in lacking}
        known = {
            ref: replace(child, trouble=lack.words.get(ref.name, ""))
            for ref, child in lacking.items()
        }
        return replace(observed, children={**observed.children, **known})

    async def _words(self, namespace: str, ref: Ref) -> str:
        """The note of the event that a pod could not be created, unless one was since."""
        selector = f"regarding.kind={ref.kind},regarding.name={ref.name}"
        try:
            reply = await self._api.request(
                "GET", EVENT.path(namespace), query={"fieldSelector": selector}
            )
        except (ApiError, *UNREACHABLE) as error:
            log.warning("events.failed", kind=ref.kind, name=ref.name, error=str(error))
            return ""
        found = [
            each
            for each in msgspec.json.decode(reply, type=_Events).items
            if each.reason in (_FAILED, _SUCCEEDED)
        ]
        # Their times are whole seconds; the resource version grows with every write.
        last = max(found, key=lambda each: each.metadata.version, default=None)
        return last.note if last is not None and last.reason == _FAILED else ""


def _lacks(child: Child, observed: Observed) -> bool:
    if child.ref.kind != "StatefulSet" or not child.owned or child.deleting:
        return False
    pods = [pod for pod in observed.pods if pod.name.startswith(f"{child.ref.name}-")]
    return sum(bool(pod.role) and not pod.over for pod in pods) < child.replicas
