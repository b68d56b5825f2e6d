"""Suggestions for misspelt names."""

import difflib
from collections.abc import Iterable

CLOSE, SIMILAR = 0.85, 0.7  # similarity of two names, as difflib's ratio


def nearest(name: str, known: Iterable[str], *, cutoff: float = SIMILAR) -> str | None:
    """The most similar known name, None if there is none; case, `_` and `-` are ignored."""
    plain = {_plain(candidate): candidate for candidate in known}
    match = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=cutoff)
    return plain[match[0]] if match else None


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
