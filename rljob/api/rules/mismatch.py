"""Corrections of what engine and trainer do not agree on: spec.algorithm.mismatch."""

from collections.abc import Iterator

from rljob.api.problem import Problem, problem
from rljob.api.rljob import RLJob
from rljob.api.rules.cel import Cel, twin


@twin(
    Cel(
        at="spec.algorithm.mismatch",
        rule="self.old != 'rollout' || self.correction == 'none'",
        message='found "{self.correction}", allowed none (old is rollout: the ratio itself starts '
        "from the engine's log-probabilities)",
        field="correction",
        reason="FieldValueForbidden",
    ),
    Cel(
        at="spec.algorithm.mismatch",
        rule="self.old != 'rollout' || !has(self.veto)",
        message="found {self.veto}, allowed null (old is rollout: the trainer's log-probabilities "
        "before the steps are not computed)",
        field="veto",
        reason="FieldValueForbidden",
    ),
)
def one_correction(job: RLJob) -> Iterator[Problem]:
    """If `mismatch.old` is rollout, that corrects: `correction` is none, and `veto` null."""
    mismatch = job.spec.algorithm.mismatch
    if mismatch.old != "rollout":
        return
    if mismatch.correction != "none":
        yield problem(
            "spec.algorithm.mismatch.correction",
            mismatch.correction,
            "none",
            "old is rollout: the ratio itself starts from the engine's log-probabilities",
        )
    if mismatch.veto is not None:
        yield problem(
            "spec.algorithm.mismatch.veto",
            mismatch.veto,
            "null",
            "old is rollout: the trainer's log-probabilities before the steps are not computed",
        )


@twin(
    Cel(
        at="spec.algorithm.mismatch",
        rule="self.level != 'sequence' || self.correction != 'icepop'",
        message='found "sequence", allowed token (correction is icepop, which leaves out single '
        "tokens; mis leaves out responses)",
        field="level",
        reason="FieldValueForbidden",
    )
)
def icepop_is_of_tokens(job: RLJob) -> Iterator[Problem]:
    """`mismatch.level` is token if `mismatch.correction` is icepop."""
    mismatch = job.spec.algorithm.mismatch
    if mismatch.level == "sequence" and mismatch.correction == "icepop":
        yield problem(
            "spec.algorithm.mismatch.level",
            mismatch.level,
            "token",
            "correction is icepop, which leaves out single tokens; mis leaves out responses",
        )


RULES = (
    one_correction,
    icepop_is_of_tokens,
)
