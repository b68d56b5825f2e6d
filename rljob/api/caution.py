"""Warnings about allowed settings whose effect on training the algorithm does not correct."""

from collections.abc import Iterator
from typing import Any

from rljob.api.problem import Problem, show
from rljob.api.rljob import RLJob

_CORRECTED = (
    "set algorithm.mismatch.correction (tis, icepop or mis) or algorithm.mismatch.old: rollout"
)


def cautions(job: RLJob) -> list[Problem]:
    """A warning for each setting under which the loss assumes wrong sampling probabilities.

    Args:
        job: valid.
    """
    return [*_old_tokens(job), *_truncated_sampling(job)]


def _old_tokens(job: RLJob) -> Iterator[Problem]:
    mismatch, schedule = job.spec.algorithm.mismatch, job.spec.schedule
    if mismatch.correction != "none" or mismatch.old == "rollout":
        return
    reason = (
        "tokens may come from older weights than those the importance ratio starts from, and this "
        f"is not corrected; {_CORRECTED}"
    )
    for name, value in (
        ("maxStaleness", schedule.max_staleness),
        ("maxUses", schedule.max_uses),
    ):
        if value > 1:
            yield _caution(f"spec.schedule.{name}", value, reason)


def _truncated_sampling(job: RLJob) -> Iterator[Problem]:
    # Engines report log-probabilities from before top-p and top-k, so no correction applies.
    sampling = job.spec.rollout.sampling
    reason = (
        "responses are sampled from a truncated vocabulary, but trained on with probabilities "
        "over the full one; no correction accounts for the difference"
    )
    if sampling.top_p < 1:
        yield _caution("spec.rollout.sampling.topP", sampling.top_p, reason)
    if sampling.top_k > 0:
        yield _caution("spec.rollout.sampling.topK", sampling.top_k, reason)


def _caution(field: str, found: Any, reason: str) -> Problem:
    return Problem(tuple(field.split(".")), message=f"warning: found {show(found)}: {reason}")
