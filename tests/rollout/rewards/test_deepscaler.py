"""The box after the thoughts, by hand; the forms are those of DeepScaleR's reward."""

import pytest

from rljob.errors import UsageError
from rljob_rollout.rewards.deepscaler import deepscaler
from tests.rollout.rewards.samples import sample


@pytest.mark.parametrize(
    ("response", "label", "reward"),
    [
        (r"<think>1+1</think>It is \boxed{2}.", "2", 1.0),
        (r"<think>1+1</think>It is \boxed{2}.", 2, 1.0),
        (r"<think>1+1</think>It is \boxed{3}.", "2", 0.0),
        (r"It is \boxed{2}.", "2", 0.0),  # no thought was closed
        (r"<think>\boxed{2}</think>It is 2.", "2", 0.0),
        (r"<think>\boxed{2}</think>\boxed{3}", "2", 0.0),
        (r"</think>\boxed{2}</think>It is 2.", "2", 0.0),
        (r"</think>\boxed{1}, no: \boxed{2}", "2", 1.0),
        (r"</think>\fbox{2}", "2", 1.0),
        (r"</think>\boxed{}", "2", 0.0),
        (r"</think>\boxed{\frac12}", "0.5", 1.0),
        (r"</think>\boxed{\dfrac{1}{2}}", r"\boxed{\frac{1}{2}}", 1.0),
        (r"</think>\boxed{2\sqrt{2}}", r"\sqrt{8}", 1.0),
        (r"</think>\boxed{(2, 1)}", "(1,2)", 0.0),
        (r"</think>\boxed{x^2+1}", "1+x^2", 1.0),
        (r"</think>\boxed{\text{Evelyn}}", "Evelyn", 1.0),
        (r"</think>\boxed{evelyn}", r"\text{Evelyn}", 1.0),
        (r"</think>\boxed{Carla}", "Evelyn", 0.0),
        (r"</think>\boxed{2}", ["3", 2], 1.0),
        (r"</think>\boxed{2}", ["3", "4"], 0.0),
    ],
)
def test_values(response, label, reward):
    assert deepscaler(sample(response, label))["reward"] == reward


@pytest.mark.parametrize("label", [None, True, [], "", ["2", None]])
def test_a_label_of_another_type_is_the_users_mistake(label):
    with pytest.raises(UsageError, match=r"^train\.jsonl:3: reward deepscaler: the label is "):
        deepscaler(sample(r"</think>\boxed{2}", label))
