"""Plain scalars that the YAML of Kubernetes (1.1) does not read as the YAML of today (1.2) does.

A manifest means the same to `rljob validate` and to `kubectl`, so these are refused.
"""

import re

TRUE, FALSE = ("y", "yes", "on"), ("n", "no", "off")
WORDS = {
    form: read
    for names, read in ((TRUE, "true"), (FALSE, "false"))
    for name in names
    for form in (name, name.capitalize(), name.upper())
}
OCTAL = re.compile(r"[-+]?0[0-7]+")


def other_reading(text: str) -> str | None:
    """What Kubernetes reads where it differs; None where it does not.

    Args:
        text: of a plain scalar, one without quotes.
    """
    if OCTAL.fullmatch(text) and int(text, 8) != int(text):
        return str(int(text, 8))
    return WORDS.get(text)
