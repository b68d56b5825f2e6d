"""Mathematical equality, by hand."""

import logging
import threading

import pytest

from rljob.errors import UsageError
from rljob_rollout.rewards.math import math
from tests.rollout.rewards.samples import sample


@pytest.mark.parametrize(
    ("response", "label", "reward"),
    [
        ("So the answer is 72.", "72", 1.0),
        ("#### 72", 72, 1.0),
        ("So the answer is 73.", "72", 0.0),
        (r"\boxed{\frac12}", "0.5", 1.0),
        (r"It is $\frac{1}{2}$", "1/2", 1.0),
        ("$1+x^2$", "x^2+1", 1.0),
        ("$1-x^2$", "x^2+1", 0.0),
        (r"\boxed{\sqrt2}", r"\sqrt{2}", 1.0),
        (r"\boxed{(1,2)}", "(1,2)", 1.0),
        (r"\boxed{(2,1)}", "(1,2)", 0.0),
        (r"\boxed{2\sqrt{2}}", r"$\sqrt{8}$", 1.0),
        (r"\boxed{1{,}000}", 1000, 1.0),
        (r"\boxed{7}", r"\boxed{7}", 1.0),
        (r"\boxed{0.0000125}", 1.25e-05, 1.0),
        (r"\boxed{2.718281828}", 1e-07, 0.0),
        (r"\boxed{100000000000000000000000}", 1e23, 1.0),
        (r"\boxed{-5}", -5, 1.0),
        ("", "72", 0.0),
        ("I do not know", "72", 0.0),
        (r"\boxed{\frac{1}{0}}", "72", 0.0),
        (r"\boxed{{{", "72", 0.0),
    ],
)
def test_values(response, label, reward):
    assert math(sample(response, label)) == reward


@pytest.mark.parametrize("label", [None, True, ["72"], ""])
def test_a_label_that_is_no_mathematics_is_the_users_mistake(label):
    with pytest.raises(UsageError, match=r"^train\.jsonl:3: reward math: the label is "):
        math(sample("72", label))


def test_it_works_in_a_thread_and_without_a_warning(caplog):
    values = []
    with caplog.at_level(logging.WARNING):
        thread = threading.Thread(target=lambda: values.append(math(sample("72", "72"))))
        thread.start()
        thread.join()
    assert values == [1.0]
    assert caplog.records == []
