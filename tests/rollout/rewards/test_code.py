"""Programs judged by tests, by hand; the label's forms are those of MBPP and LiveCodeBench."""

import pytest

from rljob.errors import UsageError
from rljob_rollout.rewards.code import code
from tests.rollout.rewards.samples import sample
from tests.support.landlock import needs_landlock

pytestmark = needs_landlock

DOUBLE = "```python\nprint(2 * int(input()))\n```"
ALLOWED = (
    'a list of tests, each {"input": string, "output": string} for standard input and output, or a '
    "string of Python statements"
)


def dialogues(*pairs):
    return [{"input": given, "output": wanted} for given, wanted in pairs]


@pytest.mark.parametrize(
    ("pairs", "share", "strict"),
    [
        ([("1", "2")], 1.0, 1.0),
        ([("1", "2"), ("3", "7")], 0.5, 0.0),
        ([("1", "2"), ("2", "4"), ("x", "")], 2 / 3, 0.0),
        ([("1", "3")], 0.0, 0.0),
    ],
)
def test_the_share_of_tests_or_all(pairs, share, strict):
    answer = sample(DOUBLE, dialogues(*pairs))
    assert code(answer) == pytest.approx(share, abs=1e-12)
    assert code(answer, strict=True) == strict


@pytest.mark.parametrize(
    ("printed", "wanted", "reward"),
    [
        ("1 2\\n3\\n", "1 2\n3", 1.0),
        ("1  2 \\n3\\n\\n", "1 2\n3\n", 1.0),
        ("1 2 3", "1 2\n3", 0.0),
        ("1\\n\\n2", "1\n2", 0.0),
        ("1.0", "1", 1.0),
        ("1e3", "1000", 1.0),
        ("0.1", "0.10000001", 0.0),
        ("YES", "yes", 0.0),
        ("nan", "nan", 1.0),
        ("inf", "nan", 0.0),
        ("", "", 1.0),
        ("", "0", 0.0),
    ],
)
def test_which_output_is_the_same(printed, wanted, reward):
    response = f"```python\nprint('{printed}', end='')\n```"
    assert code(sample(response, dialogues(("", wanted)))) == reward


def test_output_before_an_error_does_not_count():
    response = "```python\nprint(2, flush=True)\n1 / 0\n```"
    assert code(sample(response, dialogues(("", "2")))) == 0.0


@pytest.mark.parametrize(
    ("response", "reward"),
    [
        ("```python\nprint(1)\n```\nbetter:\n```python\nprint(2)\n```\nDone", 1.0),
        ("```python\nprint(2)\n```\nbetter:\n```python\nprint(1)\n```", 0.0),
        ("```\nprint(2)\n```", 1.0),
        ("```py\nprint(2)\n```", 1.0),
        ("```Python 3\nprint(2)\n```", 1.0),
        ("```python\nprint(2)\n```\nIt prints\n```text\n2\n```", 1.0),
        ("<think>```python\nprint(2)\n```</think>No", 0.0),
        ("```python\nprint(2)", 0.0),  # cut
        ("print(2)", 0.0),
        ("```bash\nprint(2)\n```", 0.0),
        ("", 0.0),
    ],
)
def test_which_block_is_the_program(response, reward):
    assert code(sample(response, dialogues(("", "2")))) == reward


# MBPP, task 2.
SIMILAR = [
    "assert set(similar_elements((3, 4, 5, 6),(5, 7, 4, 10))) == set((4, 5))",
    "assert set(similar_elements((1, 2, 3, 4),(5, 4, 3, 7))) == set((3, 4))",
    "assert set(similar_elements((11, 12, 14, 13),(17, 15, 14, 13))) == set((13, 14))",
]


@pytest.mark.parametrize(
    ("body", "reward"),
    [
        ("return tuple(set(a) & set(b))", 1.0),
        ("return (4, 5)", 1 / 3),
        ("return a", 0.0),
        ("raise SystemExit(0)", 0.0),
        ("import os; os._exit(0)", 0.0),
    ],
)
def test_statements(body, reward):
    response = f"```python\ndef similar_elements(a, b):\n    {body}\n```"
    assert code(sample(response, SIMILAR)) == pytest.approx(reward, abs=1e-12)


def test_after_a_test_that_takes_too_long_the_others_fail(monkeypatch):
    monkeypatch.setattr("rljob_rollout.rewards.code._SECONDS", 1.0)
    response = "```python\nn = int(input())\nwhile n == 2:\n    pass\nprint(n)\n```"
    tests = dialogues(("1", "1"), ("2", "2"), ("3", "3"), ("4", "4"))
    assert code(sample(response, tests)) == 0.25


@pytest.mark.parametrize(
    "label",
    [
        *(None, "assert f()", 1, [], [1], {"input": "", "output": ""}),
        *([{"input": "1"}], [{"input": 1, "output": "1"}]),
        [{"input": "1", "output": "1", "name": "x"}],
    ],
)
def test_a_label_of_another_type_is_the_users_mistake(label):
    with pytest.raises(UsageError) as raised:
        code(sample(DOUBLE, label))
    assert str(raised.value) == (
        f"train.jsonl:3: reward code: the label is {label!r}, a {type(label).__name__}; "
        f"allowed: {ALLOWED}"
    )
