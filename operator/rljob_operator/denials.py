"""What the API server denies or fails to do, and when it is tried again.

A quota, an admission policy, a webhook or a missing right denies one action whatever else is done.
So the other actions are performed all the same, and the denied one is tried again after a back-off
of its own: changes of the job in between must neither wait for it nor repeat it. The same holds for
an action that fails in passing: a conflict, an overloaded server, a lost connection.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rljob_operator.action import (
    Action,
    Annotate,
    Apply,
    Create,
    Delete,
    DeleteJob,
    Finalizer,
    Keep,
    Scale,
)
from rljob_operator.api import ApiError
from rljob_operator.kind import RLJOB
from rljob_operator.observed import Denial, Ref
from rljob_operator.queue import backoff
from rljob_operator.state import WORKLOADS

Target = tuple[str, Ref]
_FORBIDDEN = 403
_UNFIT = (400, 422)  # because of the content; also the code of some webhooks and policies
_ADMISSION = (" denied request", " denied the request")
_OTHER_UID = "metadata.uid"  # the object is gone, and another one has its name
_VERBS: dict[type[Action], str] = {
    Apply: "apply",
    Create: "create",
    Scale: "scale",
    Delete: "delete",
    DeleteJob: "delete",
    Annotate: "change",
    Keep: "change",
    Finalizer: "change",
}
_NO_WEBHOOK = "failed calling webhook"  # which comes with code 500


def is_denial(error: ApiError, action: Action) -> bool:
    """Whether an error is an answer about this action, and not one about the server's state."""
    if error.code == _FORBIDDEN or _NO_WEBHOOK in error.message:
        return True
    if error.code not in _UNFIT or _OTHER_UID in error.message:
        return False
    # Only a child that is applied has content that its user can correct.
    return not isinstance(action, Apply) or any(each in error.message for each in _ADMISSION)


@dataclass(frozen=True, slots=True)
class _Known:
    """A denied action.

    Args:
        action: as it was denied; another one with its target is tried at once.
        denial: what is told of it.
        failures: tries in a row.
        again: time of the next try.
    """

    action: Action
    denial: Denial
    failures: int
    again: float


class Denials:
    """The denied actions of all jobs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """None are known.

        Args:
            clock: monotonic clock, in seconds.
        """
        self._clock = clock
        self._known: dict[str, dict[Target, _Known]] = {}

    def of(self, key: str) -> tuple[Denial, ...]:
        """The denied actions of a job, sorted."""
        return tuple(sorted(each.denial for each in self._known.get(key, {}).values()))

    def forget(self, key: str) -> None:
        """The job was deleted."""
        self._known.pop(key, None)

    def begin(self, key: str, job: str) -> "Attempt":
        """Begin to perform a decision about a job.

        Args:
            key: key of the job.
            job: name of the job.
        """
        return Attempt(self._known.get(key, {}), job, self._clock())

    def end(self, key: str, attempt: "Attempt") -> bool:
        """Store the result of an attempt.

        Returns:
            Whether something else has to be told in the job's status than before. A first failure
            in passing is not told: it may be over when the status is written.
        """
        before = self._told(key)
        if attempt.denied:
            self._known[key] = attempt.denied
        else:
            self._known.pop(key, None)
        return self._told(key) != before

    def _told(self, key: str) -> list[Denial]:
        return [each for each in self.of(key) if not each.fresh]

    def again(self, key: str) -> float | None:
        """Seconds until the next try for a job; None: nothing is denied."""
        times = [each.again for each in self._known.get(key, {}).values()]
        return max(0.0, min(times) - self._clock()) if times else None


class Attempt:
    """One time that a decision's actions are performed."""

    def __init__(self, known: Mapping[Target, _Known], job: str, now: float) -> None:
        self._known = known
        self._job = job
        self._now = now
        self.denied: dict[Target, _Known] = {}
        self.silent = 0  # requests without a reply

    def waits(self, action: Action) -> bool:
        """Whether an action was denied, and its next try is not due."""
        target = self._target(action)
        known = self._known.get(target)
        if known is not None and known.action == action and known.again > self._now:
            self.denied.setdefault(target, known)
        return target in self.denied

    def deny(
        self, action: Action, message: str, *, passing: bool = False, at_least: float = 0.0
    ) -> float:
        """Record that an action was denied or failed.

        Args:
            action: the action.
            message: the server's message.
            passing: see Denial.
            at_least: seconds that the server asked to wait.

        Returns:
            The seconds until its next try.
        """
        verb, ref = target = self._target(action)
        known = self._known.get(target)
        failures = 1 + (known.failures if known is not None and known.action == action else 0)
        seconds = max(at_least, backoff(failures))
        line = " ".join(message.split())  # the condition has a line for each
        denial = Denial(verb, ref, line, passing, fresh=passing and failures == 1)
        self.denied[target] = _Known(action, denial, failures, self._now + seconds)
        return seconds

    def is_denied(self, action: Action) -> bool:
        """Whether an action was not performed, because it is denied or failed."""
        return self._target(action) in self.denied

    def interrupt(self) -> None:
        """The remaining actions were not reached: what is known of them stays."""
        self.denied = {**self._known, **self.denied}

    def _target(self, action: Action) -> Target:
        match action:
            case Apply(ref=ref) | Create(ref=ref) | Scale(ref=ref) | Delete(ref=ref):
                target = ref
            case Annotate(pod=pod) | Keep(pod=pod):
                target = Ref("Pod", pod)
            case Finalizer() | DeleteJob():
                target = Ref(RLJOB.name, self._job)
        return _VERBS[type(action)], target


def needs_others(action: Action) -> bool:
    """Whether an action makes pods, which need what is made before them.

    That is their identity, keys, files, network policy and claims, and the roles without which they
    would only hold GPUs.
    """
    return isinstance(action, Apply) and action.ref.kind in WORKLOADS.values()


def is_needed(action: Action) -> bool:
    """Whether pods that are made after an action may need it."""
    return isinstance(action, (Finalizer, Apply, Create))
