"""Settings of the manifest that this version does not support."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from rljob.api.problem import Problem, problem, show
from rljob.api.rljob import RLJob

NOT_HERE = "not supported by `rljob run`"
NOT_YET = "not supported yet"


@dataclass(frozen=True)
class Limit:
    """The supported values of one field.

    Args:
        field: path with dots.
        read: the field's value in a job.
        holds: whether a value is supported.
        allowed: the supported values, in words.
        local: whether the limit is one of `rljob run` only, not of the roles themselves.
    """

    field: str
    read: Callable[[RLJob], Any]
    holds: Callable[[Any], bool]
    allowed: str
    local: bool = False


def _only(field: str, read: Callable[[RLJob], Any], *values: Any, local: bool = False) -> Limit:
    *others, last = [value if isinstance(value, str) else show(value) for value in values]
    words = f"{', '.join(others)} or {last}" if others else last
    return Limit(field, read, lambda value: value in values, words, local)


LIMITS = (
    _only("spec.suspend", lambda job: job.spec.suspend, False, local=True),
    _only("spec.colocate", lambda job: job.spec.colocate, False),
    _only("spec.model.preset", lambda job: job.spec.model.preset, None),
    _only("spec.model.architecture", lambda job: job.spec.model.architecture, None),
    _only("spec.trainer.replicas", lambda job: job.spec.trainer.replicas, 1, local=True),
    _only("spec.trainer.parallelism.context", lambda job: job.spec.trainer.parallelism.context, 1),
    _only(
        "spec.rollout.autoscaling.mode",
        lambda job: job.spec.rollout.autoscaling.mode,
        "Off",
        local=True,
    ),
    Limit(
        "spec.buffer.external.urlSecretRef",
        lambda job: job.spec.buffer.external and job.spec.buffer.external.url_secret_ref,
        lambda given: given is None,
        "null; give spec.buffer.external.url",
        local=True,
    ),
)


def unsupported(job: RLJob, *, local: bool) -> list[Problem]:
    """A problem for each setting of the job that this version does not support.

    Args:
        job: valid.
        local: with `rljob run`; otherwise with the operator.
    """
    problems = [
        problem(limit.field, limit.read(job), limit.allowed, NOT_HERE if limit.local else NOT_YET)
        for limit in LIMITS
        if (local or not limit.local) and not limit.holds(limit.read(job))
    ]
    transport = job.spec.weights.transport
    if transport == "ipc" and not job.spec.colocate and not local:
        problems.append(
            problem(
                "spec.weights.transport",
                transport,
                "broadcast or disk",
                "on Kubernetes, engines run in separate pods, possibly on other machines",
            )
        )
    size = job.spec.schedule.over_sampling_batch_size
    wanted = job.spec.schedule.rollout_batch_size
    if size not in (None, wanted):
        problems.append(
            problem(
                "spec.schedule.overSamplingBatchSize", size, f"{wanted}, rolloutBatchSize", NOT_YET
            )
        )
    return problems


def unsupported_anywhere(job: RLJob) -> list[Problem]:
    """Problems with what neither `rljob run` nor the operator supports."""
    return [
        found for found in unsupported(job, local=True) if found in unsupported(job, local=False)
    ]


def unsupported_somewhere(job: RLJob) -> list[Problem]:
    """A warning for what only one of `rljob run` and the operator supports."""
    here, there = unsupported(job, local=True), unsupported(job, local=False)
    return [
        replace(found, allowed="", message=f"warning: {found.said}")
        for found in (*here, *there)
        if (found in here) != (found in there)
    ]
