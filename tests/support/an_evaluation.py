"""The result of an evaluation, for tests that care about a few of its numbers."""

from rljob_trainer.samples.evaluation import EvaluationResult
from rljob_trainer.samples.evaluation_score import Score


def an_evaluation(reward: float) -> EvaluationResult:
    """Of the data set held-out: two responses to each of eight prompts, one of which failed."""
    score = Score(
        reward=reward,
        margin=0.125,
        passes={1: reward, 2: 0.75},
        majority=(2, 0.375),
        length=4.0,
        truncated=0.25,
    )
    return EvaluationResult("held-out", score, 16, ("the engine refused it",), (), [])
