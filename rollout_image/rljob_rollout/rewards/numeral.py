"""Numbers in a base other than ten, such as 1101_2."""

import re
from dataclasses import dataclass

_NUMERAL = re.compile(
    r"\(?(-?[0-9A-Za-z]+)\)?_(?:\{\s*(?:\\text\{)?\s*([0-9a-z]+)\s*\}?\s*\}|([0-9]))"
)
_SPACES = re.compile(r"\\[ ,;!]|\{,\}|\s")
_NAMES = {
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "eleven": 11,
    "twelve": 12,
    "sixteen": 16,
}


@dataclass(frozen=True)
class Numeral:
    """A whole number, written in a base other than ten."""

    value: int
    base: int


def numeral(text: str) -> Numeral | None:
    """The number that a text consists of, or an equation's last side; None if the base is ten."""
    found = _NUMERAL.fullmatch(_SPACES.sub("", text.rpartition("=")[2]))
    return None if found is None else _read(found)


def last_numeral(text: str) -> Numeral | None:
    """The last number in a text that has a base other than ten."""
    found = [read for match in _NUMERAL.finditer(text) if (read := _read(match)) is not None]
    return found[-1] if found else None


def _read(match: re.Match[str]) -> Numeral | None:
    digits, named, single = match.groups()
    text = named or single
    base = int(text) if text.isdigit() else _NAMES.get(text, 0)
    # x_2 and a_{12} are names with an index, not numbers.
    is_number = any(map(str.isdigit, digits)) or (digits.isupper() and len(digits) > 1)
    if not 2 <= base <= 36 or base == 10 or not is_number:
        return None
    try:
        return Numeral(int(digits, base), base)
    except ValueError:  # a digit that the base does not have
        return None
