"""Instructions of IFEval: for each, responses that follow it and that do not.

The expected verdicts follow from the instructions' descriptions in the paper (arXiv 2311.07911,
table 4) and the rules in docs/rewards.md.
"""

from typing import Any

import pytest

from rljob.errors import UsageError
from rljob.instruction import NAMES
from rljob_rollout.rewards.ifeval import ifeval
from rljob_rollout.rewards.ifeval.reward import CHECKS
from tests.rollout.rewards.samples import sample

LESS, LEAST = "less than", "at least"
TWO_PARAGRAPHS = '"Once upon a time.\n\nThen, it ended.'

CASES: list[tuple[str, dict[str, Any], list[str], list[str]]] = [
    (
        "keywords:existence",
        {"keywords": ["kind", "C++"]},
        ["Kindness in c++"],
        ["kind", "C++", "kind C+"],
    ),
    (
        "keywords:frequency",
        {"keyword": "a.b", "frequency": 2, "relation": LEAST},
        ["a.b A.B", "a.ba.ba.b"],
        ["a.b", "a.b axb"],
    ),
    (
        "keywords:frequency",
        {"keyword": "word", "frequency": 2, "relation": LESS},
        ["word", "none"],
        ["word Words"],
    ),
    (
        "keywords:forbidden_words",
        {"forbidden_words": ["cat", "dog"]},
        ["category of dogs"],
        ["A Cat.", "my dog"],
    ),
    (
        "keywords:letter_frequency",
        {"letter": "e", "let_frequency": 3, "let_relation": LEAST},
        ["Eel tree", "eee"],
        ["ee", "abc"],
    ),
    (
        "keywords:letter_frequency",
        {"letter": "!", "let_frequency": 1, "let_relation": LESS},
        ["calm"],
        ["loud!"],
    ),
    (
        "length_constraints:number_words",
        {"num_words": 3, "relation": LEAST},
        ["one two three", "well-known fact"],
        ["one two", "... ! one"],
    ),
    (
        "length_constraints:number_words",
        {"num_words": 3, "relation": LESS},
        ["one two"],
        ["one two three"],
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 3, "relation": LEAST},
        ["One. Two! Three?", "One.\nTwo... Three", 'He said "no." I said "yes." So.'],
        ["One. Two.", "Pi is 3.14. Mr. Smith knows.", "See e.g. this. J. Doe wrote it."],
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 2, "relation": LESS},
        ["Only one", "Only one!!! ..."],
        ["One. Two."],
    ),
    (
        "length_constraints:number_paragraphs",
        {"num_paragraphs": 2},
        ["one\n***\ntwo", "***\none\n***\ntwo\n***"],
        ["one", "one\n***\n***\ntwo", "one\n***\ntwo\n***\nthree"],
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "Once"},
        [TWO_PARAGRAPHS, "once, twice\n\n\n\nend"],
        ["Once only", "Then\n\nOnce", "Once\n\nb\n\nc", "Onceler\n\nend"],
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "then"},
        [TWO_PARAGRAPHS],
        ["then\n\nonce"],
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 3, "first_word": "a"},
        [],
        ["a\n\na"],
    ),
    (
        "detectable_content:number_placeholders",
        {"num_placeholders": 2},
        ["[name] of [address]", "[a] [b] [c]"],
        ["[name]", "name address", "[name\naddress] [x]"],
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.S."},
        ["Bye.\nP.S. Thanks", "Bye. p. s. thanks"],
        ["Bye.", "PS thanks"],
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.P.S"},
        ["Bye.\nP.P.S thanks", "p. p. s"],
        ["Bye.\nP.S. thanks"],
    ),
    (
        "detectable_format:number_bullet_lists",
        {"num_bullets": 2},
        ["* one\n* two", "list:\n- one\n  - two", "* one\n- **two**"],
        ["* one", "* one\n* two\n* three", "**bold**\n**bold**", "1. one\n2. two"],
    ),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        ["*one* and *two*", "**one** and *two*", "*a b* *c* **d**"],
        ["*one*", "one two", "** ** and *one*", "**one**"],
    ),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Section", "num_sections": 2},
        ["Section 1\na\nSection 2\nb", "Section1 Section2 Section3"],
        ["Section 1\na", "Section one Section two", "SECTION 1\nSECTION 2"],
    ),
    (
        "detectable_format:json_format",
        {},
        ['{"a": [1]}', '```json\n{"a": 1}\n```', "```\n[]\n```", "```JSON {}```"],
        ["{a: 1}", 'Here: {"a": 1}', '```json\n{"a": 1}\n``` done'],
    ),
    (
        "detectable_format:title",
        {},
        ["<<A poem>>\nRoses", "Hm. <<x>>"],
        ["<A>", "<< >>", "<<a\nb>>"],
    ),
    (
        "detectable_format:constrained_response",
        {},
        ["My answer is yes.", "Well. My answer is maybe."],
        ["yes", "My answer is yes", "my answer is no."],
    ),
    (
        "combination:two_responses",
        {},
        ["one\n******\ntwo", "******\none\n******\ntwo\n******"],
        ["one", "one******one", "one******", "a******b******c", "a************b"],
    ),
    (
        "combination:repeat_prompt",
        {"prompt_to_repeat": "Write a poem. "},
        ["write a poem.\n\nRoses", " Write a poem."],
        ["Roses. Write a poem.", "Write a poem: roses"],
    ),
    (
        "startend:end_checker",
        {"end_phrase": "The end."},
        ["So. the END. ", 'He said "the end."'],
        ["The end. Bye", "The end"],
    ),
    ("startend:quotation", {}, ['"a"', ' "a "b" c"\n'], ['"a', "a", '"', "'a'"]),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": LEAST},
        ["NASA and ESA", "I AM", "A2 WELL-KNOWN fact"],
        ["NASA and Esa", "nothing 42"],
    ),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": LESS},
        ["NASA", "none"],
        ["NASA ESA"],
    ),
    ("change_case:english_capital", {}, ["LOUD, 42!"], ["LOUd", "42"]),
    ("change_case:english_lowercase", {}, ["quiet, 42!"], ["Quiet", "42"]),
    ("punctuation:no_comma", {}, ["no; none."], ["one, two"]),
]


def judged(response: str, *label: dict[str, Any], **options: bool) -> dict[str, Any]:
    return ifeval(sample(response, list(label)), **options)


@pytest.mark.parametrize(
    ("name", "arguments", "right", "wrong"), CASES, ids=[f"{n}-{c[0]}" for n, c in enumerate(CASES)]
)
def test_instructions(
    name: str, arguments: dict[str, Any], right: list[str], wrong: list[str]
) -> None:
    instruction = {"id": name, "kwargs": arguments}
    for response in right:
        found = judged(response, instruction)
        assert found == {"reward": 1.0, "not_followed": []}, response
    for response in [*wrong, "", " \n"]:
        found = judged(response, instruction)
        assert found == {"reward": 0.0, "not_followed": [name]}, response


def test_every_instruction_has_a_check_and_a_case() -> None:
    assert set(NAMES) == set(CHECKS) == {name for name, *_ in CASES}


def test_the_share_or_all() -> None:
    label = [
        {"id": "punctuation:no_comma"},
        {"id": "change_case:english_lowercase", "kwargs": {"num_words": None}},
        {"id": "startend:quotation", "kwargs": None},
        {"id": "detectable_format:title", "kwargs": {}},
    ]
    broken = ["startend:quotation", "detectable_format:title"]
    assert judged("lower", *label) == {"reward": 0.5, "not_followed": broken}
    assert judged("lower", *label, strict=True) == {"reward": 0.0, "not_followed": broken}
    assert judged('"<<lower>>"', *label, strict=True) == {"reward": 1.0, "not_followed": []}


def test_thoughts_do_not_count() -> None:
    assert judged("well, </think>no", {"id": "punctuation:no_comma"})["reward"] == 1.0


@pytest.mark.parametrize(
    ("label", "found"),
    [
        ("punctuation:no_comma", "a str; allowed: a list of {"),
        ([], "a list; allowed: a list of {"),
        (["punctuation:no_comma"], "instruction 1 is 'punctuation:no_comma'; allowed: a list of {"),
        ([{"id": "punctuation:no_comma", "args": {}}], "instruction 1 is {'id': "),
        ([{"kwargs": {}}], "instruction 1 is {'kwargs': {}}; allowed"),
        (
            [{"id": "punctuation:no_comma"}, {"id": "punctuation:no_dots"}],
            "instruction 2 is 'punctuation:no_dots'; allowed: keywords:existence, keywords:freq",
        ),
        ([{"id": ["x"]}], "instruction 1 is ['x']; allowed: keywords:existence"),
        (
            [{"id": "language:response_language", "kwargs": {"language": "de"}}],
            "instruction 1 is language:response_language, which needs a detector of languages",
        ),
        (
            [{"id": "detectable_format:title", "kwargs": [1]}],
            "title: kwargs is [1]; allowed: an ob",
        ),
        (
            [{"id": "detectable_format:title", "kwargs": {"text": "x"}}],
            "detectable_format:title: found the argument 'text'; allowed: none",
        ),
        (
            [{"id": "startend:end_checker", "kwargs": {"end_phrase": None}}],
            "startend:end_checker: end_phrase is missing; allowed: all of end_phrase",
        ),
        (
            [{"id": "keywords:frequency", "kwargs": {"keyword": "a", "relation": "exactly"}}],
            "keywords:frequency: relation is 'exactly'; allowed: 'less than' or 'at least'",
        ),
        (
            [{"id": "keywords:existence", "kwargs": {"keywords": "a"}}],
            "keywords:existence: keywords is 'a'; allowed: a list of strings",
        ),
        (
            [{"id": "length_constraints:number_paragraphs", "kwargs": {"num_paragraphs": True}}],
            "num_paragraphs is True; allowed: a whole number of at least 0",
        ),
        (
            [
                {
                    "id": "length_constraints:nth_paragraph_first_word",
                    "kwargs": {"num_paragraphs": 1, "nth_paragraph": 0, "first_word": "a"},
                }
            ],
            "nth_paragraph is 0; allowed: a whole number of at least 1",
        ),
        (
            [{"id": "keywords:letter_frequency", "kwargs": {"letter": "ab"}}],
            "letter is 'ab'; allowed: a single character",
        ),
    ],
)
def test_a_label_without_such_instructions_is_the_users_mistake(label: Any, found: str) -> None:
    with pytest.raises(UsageError) as raised:
        ifeval(sample("text", label))
    message = str(raised.value)
    assert message.startswith(f"train.jsonl:3: reward ifeval: the label is {label!r:.200}: ")
    assert found in message
