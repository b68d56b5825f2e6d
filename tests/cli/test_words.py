"""Lines about a run for a terminal."""

from rljob.cli import words

HEAD = {"rollout": 40, "name": "aime", "reward": 0.5, "count": 16}


def test_an_evaluation_with_all_its_numbers() -> None:
    numbers = {
        "margin": 0.0304,
        "pass@1": 0.5,
        "pass@2": 0.75,
        "majority@2": 0.375,
        "length": 1234.56,
        "truncated": 0.125,
        "failed": 2,
    }
    assert words.evaluation({**HEAD, **numbers}, 0) == [
        "evaluation aime after rollout 40: reward 0.500 ±0.030 over 16 answers, pass@1 0.500, "
        "pass@2 0.750, majority@2 0.375, length 1,234.6, truncated 0.125, failed prompts 2"
    ]


def test_an_evaluation_of_an_earlier_version() -> None:
    """It told the mean reward alone."""
    assert words.evaluation({**HEAD, "failed": 0}, 0) == [
        "evaluation aime after rollout 40: reward 0.500 over 16 answers"
    ]
