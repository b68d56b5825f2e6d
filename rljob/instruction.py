"""Instructions that a program can verify, in a prompt's label.

Names and arguments are those of IFEval (Zhou et al. 2023, arXiv 2311.07911; the program is
google-research/instruction_following_eval). The trainer checks labels before it sends them out, the
reward when it judges.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FORM = (
    'a list of {"id": string, "kwargs": object}, each an instruction of IFEval with its arguments'
)
LESS, LEAST = "less than", "at least"


@dataclass(frozen=True)
class Instruction:
    """An instruction: IFEval's name, and its arguments by their names."""

    id: str
    arguments: dict[str, Any]


class WrongInstructionError(ValueError):
    """A label does not have instructions that can be verified; which, and what is allowed."""


@dataclass(frozen=True)
class _Kind:
    """A kind of argument: what it must be, in words and as a test."""

    allowed: str
    fits: Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


_COUNT = _Kind(
    "a whole number of at least 0",
    lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
)
_PLACE = _Kind(
    "a whole number of at least 1",
    lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 1,
)
_RELATION = _Kind(f"{LESS!r} or {LEAST!r}", lambda value: value in (LESS, LEAST))
_TEXT = _Kind("a string", _is_text)
_TEXTS = _Kind(
    "a list of strings",
    lambda value: isinstance(value, list) and bool(value) and all(map(_is_text, value)),
)
_LETTER = _Kind("a single character", lambda value: _is_text(value) and len(value) == 1)

_ARGUMENTS: dict[str, dict[str, _Kind]] = {
    "keywords:existence": {"keywords": _TEXTS},
    "keywords:frequency": {"keyword": _TEXT, "frequency": _COUNT, "relation": _RELATION},
    "keywords:forbidden_words": {"forbidden_words": _TEXTS},
    "keywords:letter_frequency": {
        "letter": _LETTER,
        "let_frequency": _COUNT,
        "let_relation": _RELATION,
    },
    "length_constraints:number_sentences": {"num_sentences": _COUNT, "relation": _RELATION},
    "length_constraints:number_paragraphs": {"num_paragraphs": _COUNT},
    "length_constraints:number_words": {"num_words": _COUNT, "relation": _RELATION},
    "length_constraints:nth_paragraph_first_word": {
        "num_paragraphs": _COUNT,
        "nth_paragraph": _PLACE,
        "first_word": _TEXT,
    },
    "detectable_content:number_placeholders": {"num_placeholders": _COUNT},
    "detectable_content:postscript": {"postscript_marker": _TEXT},
    "detectable_format:number_bullet_lists": {"num_bullets": _COUNT},
    "detectable_format:constrained_response": {},
    "detectable_format:number_highlighted_sections": {"num_highlights": _COUNT},
    "detectable_format:multiple_sections": {"section_spliter": _TEXT, "num_sections": _COUNT},
    "detectable_format:json_format": {},
    "detectable_format:title": {},
    "combination:two_responses": {},
    "combination:repeat_prompt": {"prompt_to_repeat": _TEXT},
    "startend:end_checker": {"end_phrase": _TEXT},
    "startend:quotation": {},
    "change_case:capital_word_frequency": {
        "capital_frequency": _COUNT,
        "capital_relation": _RELATION,
    },
    "change_case:english_capital": {},
    "change_case:english_lowercase": {},
    "punctuation:no_comma": {},
}
NAMES = tuple(_ARGUMENTS)
_LANGUAGE = "language:response_language"


def instructions(label: Any) -> list[Instruction]:
    """The instructions of a label of the form FORM.

    Arguments that are null are left out: IFEval's data list those of all instructions.

    Raises:
        WrongInstructionError: it has another form, names an instruction that is not there, or an
            argument is missing, of another type, or not one of the instruction.
    """
    if not isinstance(label, list) or not label:
        raise WrongInstructionError(f"a {type(label).__name__}; allowed: {FORM}")
    return [_instruction(each, f"instruction {n}") for n, each in enumerate(label, start=1)]


def _instruction(given: Any, where: str) -> Instruction:
    if not isinstance(given, dict) or not {"id"} <= given.keys() <= {"id", "kwargs"}:
        raise WrongInstructionError(f"{where} is {given!r:.200}; allowed: {FORM}")
    name, found = given["id"], given.get("kwargs") or {}
    if name == _LANGUAGE:
        raise WrongInstructionError(
            f"{where} is {name}, which needs a detector of languages that rljob does not have; "
            "allowed: all other instructions of IFEval"
        )
    if not isinstance(name, str) or name not in _ARGUMENTS:
        raise WrongInstructionError(f"{where} is {name!r:.200}; allowed: {', '.join(NAMES)}")
    if not isinstance(found, dict):
        raise WrongInstructionError(
            f"{where}, {name}: kwargs is {found!r:.200}; allowed: an object"
        )
    arguments = {key: value for key, value in found.items() if value is not None}
    kinds = _ARGUMENTS[name]
    for key, value in arguments.items():
        if key not in kinds:
            raise WrongInstructionError(
                f"{where}, {name}: found the argument {key!r:.200}; allowed: "
                f"{', '.join(kinds) or 'none'}"
            )
        if not kinds[key].fits(value):
            raise WrongInstructionError(
                f"{where}, {name}: {key} is {value!r:.200}; allowed: {kinds[key].allowed}"
            )
    if missing := kinds.keys() - arguments.keys():
        raise WrongInstructionError(
            f"{where}, {name}: {', '.join(sorted(missing))} is missing; allowed: all of "
            f"{', '.join(kinds)}"
        )
    return Instruction(name, arguments)
