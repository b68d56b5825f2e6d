"""Finds the final answer in a response, if it is marked as such."""

import re

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
# GSM8K ends its solutions with `#### 72`; Minerva's prompts end theirs with "Final Answer: The
# final answer is $72$. I hope it is correct."
_STATED = re.compile(r"(?:####|\banswer\s*(?:is\b:?|:))[ \t]*(\S.*)", re.IGNORECASE)
_HOPE = re.compile(r"\.?\s*I hope\b.*$")


def boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{}` or `\fbox{}` with matching braces; None without one."""
    for box in reversed(list(_BOX.finditer(text))):
        end = _closing(text, box.end())
        if end is not None:
            return text[box.end() : end].strip()
    return None


def stated(text: str) -> str | None:
    """What follows the last "answer is", "answer:" or "####" on its line; None without one."""
    found = _STATED.findall(text)
    return _HOPE.sub("", found[-1]).strip() if found else None


def after_thinking(text: str) -> str:
    """What follows the last `</think>`; the whole text without one."""
    return text.rpartition("</think>")[2]


def _closing(text: str, start: int) -> int | None:
    """The position of the brace that closes the one opened before `start`."""
    depth = 1
    for brace in re.finditer(r"\\.|[{}]", text[start:], re.DOTALL):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return start + brace.start()
    return None
