"""Whether two models mean the same tokens by the same numbers."""

import json
from pathlib import Path

from rljob.errors import UsageError

_TOKENIZER = "tokenizer.json"


def check_same_tokens(field: str, other: Path, policy: Path) -> None:
    """Compares the vocabularies of two model directories.

    Log-probabilities of another model are worth nothing for tokens that are other texts to it, and
    vocabularies of one size would hide that. A directory without a tokenizer.json is not compared.

    Args:
        field: the manifest field that names `other`, for the message.
        other: directory of a second model.
        policy: directory of the policy, whose tokens are used.

    Raises:
        UsageError: they differ; names the first token that does.
    """
    mine, theirs = _vocabulary(policy), _vocabulary(other)
    if mine is None or theirs is None or mine == theirs:
        return
    token = min(mine.items() ^ theirs.items(), key=lambda item: (item[1], item[0]))[0]
    raise UsageError(
        f"{field}: found {other}, where {_said(token, theirs)}, allowed: a model with the policy's "
        f"vocabulary, where {_said(token, mine)}"
    )


def _vocabulary(directory: Path) -> dict[str, int] | None:
    """Numbers by token; None if there is no tokenizer.json, or one of another form."""
    try:
        content = json.loads((directory / _TOKENIZER).read_text(encoding="utf-8"))
        found = content["model"]["vocab"]
        if isinstance(found, list):  # of a unigram model: pairs of token and score, in order
            found = {token: number for number, (token, _) in enumerate(found)}
        added = {each["content"]: each["id"] for each in content.get("added_tokens", [])}
        vocabulary: dict[str, int] = {**found, **added}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return vocabulary


def _said(token: str, vocabulary: dict[str, int]) -> str:
    number = f"token {vocabulary[token]}" if token in vocabulary else "none"
    return f"{number} is {token!r}"
