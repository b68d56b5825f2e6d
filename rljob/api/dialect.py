"""Plain scalars that YAML 1.1, as read by Kubernetes, and YAML 1.2 read differently.

They are refused, so that a manifest means the same to `rljob validate` and to `kubectl`.
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
    """The value that Kubernetes reads; None if it reads the same as YAML 1.2.

    Args:
        text: a plain scalar, one without quotes.
    """
    if OCTAL.fullmatch(text) and int(text, 8) != int(text):
        return str(int(text, 8))
    return WORDS.get(text)
