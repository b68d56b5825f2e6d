"""What rewards read as a response's answer, by hand: equal answers are one text."""

import pytest

from rljob_rollout.rewards import load_reward
from tests.rollout.rewards.samples import sample


@pytest.mark.parametrize(
    ("reward", "label", "response", "answer"),
    [
        ("math", "72", r"It is \boxed{72}", "72"),
        ("math", "72", r"It is \boxed{ 7 3 }", "73"),
        ("math", "72", "So the answer is 72.", "72"),
        ("math", "72", "I do not know", None),
        ("deepscaler", "72", r"</think>\boxed{\text{No Way}}", "noway"),
        ("deepscaler", "72", r"\boxed{72}", None),
        ("dapo", "72", "Answer: $x = 72$", "72"),
        ("dapo", "72", "72", None),
        ("gpqa", "C", "Answer: (B)", "B"),
        ("gpqa", "C", "It is carbon.", None),
    ],
)
def test_the_answer(reward: str, label: str, response: str, answer: str | None) -> None:
    judged = load_reward(reward, "spec.rollout.reward.type")(sample(response, label))
    assert judged["answer"] == answer


def test_an_answer_that_strict_does_not_read() -> None:
    """It has no vote, as a truncated response may still be thinking."""
    math = load_reward("math", "spec.rollout.reward.type")
    assert math(sample("So it is 72.", "72"), strict=True) == {"reward": 0.0, "answer": None}
    cut = sample(r"\boxed{72}", "72", status="truncated")
    assert math(cut, strict=True) == {"reward": 0.0}
