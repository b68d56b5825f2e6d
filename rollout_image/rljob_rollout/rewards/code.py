"""A program, judged by tests."""

import re
from decimal import Decimal, InvalidOperation

from rljob.errors import UsageError
from rljob.label import TESTS, Test, tests
from rljob_rollout.rewards.answer import after_thinking
from rljob_rollout.rewards.label import wrong_label
from rljob_rollout.rewards.sample import RewardInput
from rljob_rollout.sandbox.runner import Outcome, SandboxError, run

_SECONDS = 6.0  # per test, as in LiveCodeBench
_SURPLUS = 1 << 20  # bytes of output beyond what the test expects
_FENCE = re.compile(r"^```[ \t]*(\w*)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_LANGUAGES = ("", "python", "py", "python3")

try:
    run("", seconds=_SECONDS, output=0)
except SandboxError as error:
    # Before an engine starts, and not at the first sample.
    raise UsageError(
        f"programs can't be confined on this machine ({error}); allowed: Linux 5.13 or later on "
        "x86-64 or aarch64, with Landlock switched on and seccomp filters permitted"
    ) from error


def code(sample: RewardInput, *, strict: bool = False) -> float:
    """The share of the label's tests that the last Python block of a response passes.

    Each test runs the program anew, in the sandbox. When one exceeds its time, the others that
    follow count as failed.
    Source: the tests of APPS and LiveCodeBench (standard input and output) and of MBPP and
    HumanEval (statements).

    Args:
        sample: the sample to judge.
        strict: 1 if all tests are passed, else 0.
    """
    wanted = tests(sample.label)
    if wanted is None:
        raise wrong_label(sample, "code", TESTS)
    program = _program(after_thinking(sample.response))
    if program is None:
        return 0.0
    passed = 0
    for test in wanted:
        outcome = _outcome(program, test)
        passed += _is_passed(test, outcome)
        if outcome.is_too_long:
            break
    share = passed / len(wanted)
    return float(share == 1) if strict else share


def _program(text: str) -> str | None:
    """The last fenced block of Python, or of no language."""
    blocks = [text for language, text in _FENCE.findall(text) if language.lower() in _LANGUAGES]
    return blocks[-1] if blocks else None


def _outcome(program: str, test: Test) -> Outcome:
    if isinstance(test, str):
        return run(program, statements=test, seconds=_SECONDS, output=_SURPLUS)
    limit = len(test["output"].encode("utf-8", "replace")) + _SURPLUS
    return run(program, stdin=test["input"], seconds=_SECONDS, output=limit)


def _is_passed(test: Test, outcome: Outcome) -> bool:
    if isinstance(test, str):
        return outcome.is_complete and outcome.is_tested
    if not outcome.is_complete:
        return False
    given = _lines(outcome.output.decode(errors="replace"))
    wanted = _lines(test["output"])
    return len(given) == len(wanted) and all(map(_is_same, given, wanted))


def _lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.strip().split("\n")]


def _is_same(given: list[str], wanted: list[str]) -> bool:
    return given == wanted or (len(given) == len(wanted) and all(map(_is_same_word, given, wanted)))


def _is_same_word(given: str, wanted: str) -> bool:
    if given == wanted:
        return True
    try:
        return Decimal(given) == Decimal(wanted)
    except InvalidOperation:
        return False
