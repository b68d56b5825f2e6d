"""What a manifest may ask for although the algorithm does not correct its effect: warnings."""

from collections.abc import Iterator
from typing import Any

from rljob.api.problem import Problem, show
from rljob.api.rljob import RLJob

_CORRECTED = (
    "allowed without a warning are algorithm.mismatch.correction: tis and "
    "algorithm.mismatch.old: rollout"
)


def cautions(job: RLJob) -> list[Problem]:
    """A warning for each thing that trains on other probabilities than the loss takes them for.

    Args:
        job: valid.
    """
    return [*_old_tokens(job), *_truncated_sampling(job)]


def _old_tokens(job: RLJob) -> Iterator[Problem]:
    mismatch, schedule = job.spec.algorithm.mismatch, job.spec.schedule
    if mismatch.correction != "none" or mismatch.old == "rollout":
        return
    reason = (
        "the weights that made a token are not those that its ratio starts from, and nothing "
        f"corrects for that; {_CORRECTED}"
    )
    for name, value in (
        ("maxStaleness", schedule.max_staleness),
        ("maxUses", schedule.max_uses),
    ):
        if value > 1:
            yield _caution(f"spec.schedule.{name}", value, reason)


def _truncated_sampling(job: RLJob) -> Iterator[Problem]:
    # Engines give log-probabilities as before top-p and top-k: no correction sees the difference.
    sampling = job.spec.rollout.sampling
    reason = (
        "responses are sampled from a part of the vocabulary, and trained on with probabilities "
        "over all of it; no correction sees the difference"
    )
    if sampling.top_p < 1:
        yield _caution("spec.rollout.sampling.topP", sampling.top_p, reason)
    if sampling.top_k > 0:
        yield _caution("spec.rollout.sampling.topK", sampling.top_k, reason)


def _caution(field: str, found: Any, reason: str) -> Problem:
    return Problem(tuple(field.split(".")), message=f"warning: found {show(found)}: {reason}")
