"""How many words, sentences and paragraphs there are."""

import re

from rljob_rollout.rewards.ifeval.check import Check, holds

_WORD = re.compile(r"\w+")
# A full stop, question or exclamation mark ends a sentence before white space or the text's end,
# and after at least one word: "3.5" and "..." end none.
_END = re.compile(r"[.!?\u3002\uff01\uff1f]+[\"'\u2019\u201d)\]]*(?=\s|$)")
# After these a full stop ends no sentence.
_SHORT = re.compile(r"(?:^|[\s(\"'])(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|vs|etc|e\.g|i\.e)\.$")
_QUOTES = "\"'\u2018\u2019\u201c\u201d"


def sentences(text: str) -> int:
    """The number of sentences, by simple rules of punctuation."""
    count = begin = 0
    for end in _END.finditer(text):
        sentence = text[begin : end.end()]
        if _WORD.search(sentence) and not _SHORT.search(sentence):
            count += 1
            begin = end.end()
    return count + bool(_WORD.search(text[begin:]))


def number_sentences(text: str, *, num_sentences: int, relation: str) -> bool:
    """There are less or more sentences."""
    return holds(sentences(text), relation, num_sentences)


def number_words(text: str, *, num_words: int, relation: str) -> bool:
    """There are less or more words: letters, digits and underscores in a row."""
    return holds(len(_WORD.findall(text)), relation, num_words)


def number_paragraphs(text: str, *, num_paragraphs: int) -> bool:
    """There are as many paragraphs, divided by `***`, none of which is empty."""
    parts = [part.strip() for part in text.strip().split("***")]
    inner = parts[bool(not parts[0]) : len(parts) - (not parts[-1])]
    return all(inner) and len(inner) == num_paragraphs


def nth_paragraph_first_word(
    text: str, *, num_paragraphs: int, nth_paragraph: int, first_word: str
) -> bool:
    """There are as many paragraphs, divided by empty lines, and one begins with a word."""
    paragraphs = [part.strip() for part in text.split("\n\n") if part.strip()]
    if len(paragraphs) != num_paragraphs or nth_paragraph > num_paragraphs:
        return False
    found = paragraphs[nth_paragraph - 1].split()[0].lstrip(_QUOTES).lower()
    return re.split(rf"[.,?!{_QUOTES}]", found)[0] == first_word.strip().lower()


CHECKS: dict[str, Check] = {
    "length_constraints:number_sentences": number_sentences,
    "length_constraints:number_words": number_words,
    "length_constraints:number_paragraphs": number_paragraphs,
    "length_constraints:nth_paragraph_first_word": nth_paragraph_first_word,
}
