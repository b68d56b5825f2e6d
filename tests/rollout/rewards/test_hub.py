"""Built-in rewards by name, and custom ones."""

import pytest

from rljob.errors import UsageError
from rljob_rollout.judging.verdict import Score, verdict
from rljob_rollout.rewards import load_reward
from rljob_rollout.rewards.hub import NAMES
from tests.rollout.rewards.samples import sample

FIELD = "spec.rollout.reward.type"
NO_COMMA = [{"id": "punctuation:no_comma"}]
LABELS = {"gpqa": "A", "code": ["pass"], "ifeval": NO_COMMA}  # of rewards that cannot judge by "1"
OPTIONS = {"overlong": {"buffer_tokens": 4}}  # of rewards that need some


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes the user's module of a test and puts it on the path; returns its name."""
    monkeypatch.syspath_prepend(tmp_path)
    name = f"module_{tmp_path.name}"  # no other test has imported it

    def write(text):
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_the_hub_is_a_reward(name):
    judged = verdict(
        load_reward(name, FIELD)(sample("1", LABELS.get(name, "1")), **OPTIONS.get(name, {}))
    )
    assert isinstance(judged, Score)
    assert -1 <= judged.reward <= 1


def test_a_hook_is_the_users_function(module):
    name = module("def length(sample):\n    return len(sample.response)\n")
    assert load_reward(f"{name}:length", FIELD)(sample("abc")) == 3


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(UsageError) as raised:
        load_reward("nobody_has_this:judge", FIELD)
    assert str(raised.value).startswith(
        f"{FIELD}: found 'nobody_has_this:judge', but the module 'nobody_has_this' does not "
        "import: ModuleNotFoundError: No module named 'nobody_has_this'; allowed: "
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nobody_has_this", "ModuleNotFoundError: No module named 'nobody_has_this'"),
        ("def judge(:", "SyntaxError: "),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_module_that_does_not_import_tells_why(module, text, reason):
    name = module(text)
    with pytest.raises(UsageError) as raised:
        load_reward(f"{name}:judge", FIELD)
    assert f"the module {name!r} does not import: {reason}" in str(raised.value)


def test_a_module_that_refuses_this_machine_tells_why(module):
    name = module("from rljob.errors import UsageError\nraise UsageError('Mondays are off')")
    with pytest.raises(UsageError) as raised:
        load_reward(f"{name}:judge", FIELD)
    assert str(raised.value) == f"{FIELD}: found '{name}:judge', but Mondays are off"


@pytest.mark.parametrize(("text", "found"), [("", "nothing"), ("judge = 5", "a int")])
def test_an_attribute_that_is_no_function_is_named(module, text, found):
    name = module(text)
    with pytest.raises(UsageError) as raised:
        load_reward(f"{name}:judge", FIELD)
    message = str(raised.value)
    assert message.startswith(f"{FIELD}: found '{name}:judge', but 'judge' in ")
    assert message.endswith(f"{name}.py is {found}; allowed: a function of one sample")


def test_an_unknown_name_is_answered_with_those_there_are():
    with pytest.raises(UsageError) as raised:
        load_reward("exakt", FIELD)
    assert str(raised.value) == (
        f"{FIELD}: found 'exakt', allowed exact, math, f1, gpqa, dapo, deepscaler, code, "
        'ifeval, overlong, length, random or "module:function"'
    )
