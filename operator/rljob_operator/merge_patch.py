"""JSON merge patches (RFC 7386)."""

from collections.abc import Mapping
from typing import Any


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that turns `before` into `after`; empty if they are equal.

    A null in `after` means that the value is absent, as in a patch. Lists are replaced as a whole.
    """
    patch: dict[str, Any] = {
        name: None
        for name, value in before.items()
        if value is not None and after.get(name) is None
    }
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, Mapping):
            inner = merge_patch(old if isinstance(old, Mapping) else {}, value)
            if inner or not isinstance(old, Mapping):
                patch[name] = inner
        elif value is not None and value != old:
            patch[name] = value
    return patch
