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
    assert math(sample(response, label))["reward"] == reward


@pytest.mark.parametrize(
    ("response", "label", "reward"),
    [
        (r"First \boxed{4}, but xxxxxxxxxx \boxed{5}", "5", 1.0),
        (r"First \boxed{4}, but xxxxxxxxxx \boxed{5}", "4", 0.0),
        (r"\boxed{4} and \boxed{5}", "5", 1.0),
        ("\\boxed{4}\n\nNo: \\boxed{5}", "5", 1.0),
        (r"$\boxed{4}$, $\boxed{5}$", "4", 0.0),
        (r"\boxed{\boxed{5}}", "5", 1.0),
        (r"\boxed{5}, since $2+2=4$.", "5", 1.0),
        (r"\boxed{5} and then \boxed{6", "5", 1.0),  # no box: it does not close
        (r"\boxed{4} \boxed{}", "4", 0.0),
        (r"\boxed{\{1,2\}}", r"\{2,1\}", 1.0),
        (r"\fbox{72}", "72", 1.0),
        (r"\boxed{4} \fbox{72}", "72", 1.0),
        (r"\boxed {72}", "72", 1.0),
    ],
)
def test_the_last_box_counts(response, label, reward):
    """As in the MATH data set's `last_boxed_only_string`, which takes \\boxed and \\fbox."""
    assert math(sample(response, label))["reward"] == reward


@pytest.mark.parametrize(
    ("response", "label", "reward"),
    [
        (r"\boxed{36}", r"\$36", 1.0),
        (r"\boxed{\$36}", r"\$36", 1.0),
        (r"\boxed{\$36}", "36", 1.0),
        (r"\boxed{5.50}", r"\$5.50", 1.0),
        (r"\boxed{5.5}", r"\$5.50", 1.0),
        (r"\boxed{5.05}", r"\$5.50", 0.0),
        (r"\boxed{5}", r"\text{\$5}", 1.0),
        (r"\boxed{\text{\$}5}", r"\text{\$5}", 1.0),
        (r"It costs \$5.50.", r"\$5.50", 1.0),
        (r"\boxed{\$6}", r"\text{\$5}", 0.0),
    ],
)
def test_a_sign_of_currency_does_not_count(response, label, reward):
    assert math(sample(response, label))["reward"] == reward


@pytest.mark.parametrize(
    ("response", "label", "reward"),
    [
        # The charge of an electron in coulombs against its mass in kilograms.
        (r"\boxed{9.11 \times 10^{-31}}", r"1.6 \times 10^{-19}", 0.0),
        (r"\boxed{1.6 \times 10^{-19}}", r"1.6 \times 10^{-19}", 1.0),
        (r"\boxed{0.16 \cdot 10^{-18}}", r"1.6 \times 10^{-19}", 1.0),
        (r"\boxed{1.6e-19}", r"1.6 \times 10^{-19}", 1.0),
        (r"\boxed{1/2^{70}}", r"1/2^{60}", 0.0),
        (r"\boxed{1/2^{60}}", r"1/2^{70}", 0.0),
        (r"\boxed{2/2^{61}}", r"1/2^{60}", 1.0),
        (r"\boxed{\frac{1}{2^{70}}}", r"\frac{1}{2^{60}}", 0.0),
        (r"\boxed{2e-7}", 1e-7, 0.0),
        (r"\boxed{0.0000002}", "1e-7", 0.0),
        (r"\boxed{1e-7}", 1e-7, 1.0),
        (r"\boxed{10^{-7}}", 1e-7, 1.0),
        (r"\boxed{0}", 1e-7, 0.0),
        (r"\boxed{10^{-400}}", "10^{-401}", 0.0),
        (r"\boxed{(1, 2e-7)}", "(1, 0.0000001)", 0.0),
        (r"\boxed{(0.0000002, 1)}", "(0.0000001, 1)", 0.0),
        (r"\boxed{0.333333}", r"\frac{1}{3}", 1.0),
        (r"\boxed{0.333}", r"\frac{1}{3}", 0.0),
        (r"\boxed{0.0333333}", r"\frac{1}{30}", 1.0),
        (r"\boxed{1234567.5}", "1234568", 0.0),
        (r"\boxed{9007199254740992}", "9007199254740993", 0.0),
    ],
)
def test_numbers_of_any_size_are_compared_relatively(response, label, reward):
    assert math(sample(response, label))["reward"] == reward


@pytest.mark.parametrize(
    ("response", "label", "reward"),
    [
        (r"\boxed{1101_2}", "1101_2", 1.0),
        (r"\boxed{1101_{2}}", "1101_2", 1.0),
        (r"\boxed{1101_{\text{two}}}", "1101_2", 1.0),
        (r"\boxed{(1101)_2}", "1101_2", 1.0),
        (r"\boxed{13 = 1101_2}", "1101_2", 1.0),
        (r"\boxed{1101_3}", "1101_2", 0.0),
        (r"\boxed{1101}", "1101_2", 0.0),
        (r"\boxed{13}", "1101_2", 0.0),
        (r"\boxed{1101_2}", "1101", 0.0),
        (r"\boxed{1101_2}", "13", 0.0),
        (r"\boxed{13_{10}}", "13", 1.0),
        (r"\boxed{A3F_{16}}", "A3F_{16}", 1.0),
        (r"\boxed{a3f_{16}}", "A3F_{16}", 1.0),
        (r"\boxed{A3E_{16}}", "A3F_{16}", 0.0),
        ("So it is $2516_8$.", "2516_8", 1.0),
        ("So it is $2516_9$.", "2516_8", 0.0),
        ("$1101_2$ is 13 in base ten.", "13", 1.0),
        (r"\boxed{x_2}", "x_2", 1.0),
        (r"\boxed{x_2}", "x_3", 0.0),
    ],
)
def test_the_base_of_a_number_is_part_of_the_answer(response, label, reward):
    assert math(sample(response, label))["reward"] == reward


@pytest.mark.parametrize(
    ("response", "label", "reward"),
    [
        (r"So \boxed{72}", "72", 1.0),
        (r"\fbox{72}", "72", 1.0),
        ("The answer is 72.", "72", 1.0),
        ("Final Answer: The final answer is $72$. I hope it is correct.", "72", 1.0),
        ("**Answer:** 72", "72", 1.0),
        ("#### 72", "72", 1.0),
        ("12 + 60 = 72", "72", 0.0),
        ("It is $72$.", "72", 0.0),
        ("", "72", 0.0),
    ],
)
def test_strictly_an_answer_is_marked_as_that(response, label, reward):
    assert math(sample(response, label), strict=True)["reward"] == reward


def test_strictly_a_truncated_response_gets_nothing():
    truncated = sample(r"\boxed{72} and", "72", status="truncated")
    assert math(truncated)["reward"] == 1.0
    assert math(truncated, strict=True)["reward"] == 0.0


def test_of_several_labels_any_will_do():
    assert math(sample(r"\boxed{0.5}", ["2", r"\frac{1}{2}"]))["reward"] == 1.0
    assert math(sample(r"\boxed{3}", ["2", 0.5]))["reward"] == 0.0


@pytest.mark.parametrize("label", [None, True, [], [None], ""])
def test_a_label_that_is_no_mathematics_is_the_users_mistake(label):
    with pytest.raises(UsageError, match=r"^train\.jsonl:3: reward math: the label is "):
        math(sample("72", label))


def test_it_works_in_a_thread_and_without_a_warning(caplog):
    values = []
    with caplog.at_level(logging.WARNING):
        thread = threading.Thread(target=lambda: values.append(math(sample("72", "72"))["reward"]))
        thread.start()
        thread.join()
    assert values == [1.0]
    assert caplog.records == []
