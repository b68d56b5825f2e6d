"""User functions, which a manifest names as "module:function"."""

import importlib
from collections.abc import Callable

from rljob.errors import UsageError


def load_hook(field: str, spec: str, builtin: str) -> Callable[..., object]:
    """Loads the function that a job names.

    Args:
        field: the manifest field, for messages.
        spec: "module:function".
        builtin: the other names that the field allows, for messages.

    Raises:
        UsageError: the module or the function can't be loaded.
    """
    module, _, name = spec.partition(":")
    allowed = f'allowed: {builtin}, or "module:function" on PYTHONPATH'
    try:
        found: object = getattr(importlib.import_module(module), name)
    except Exception as error:  # a module can raise anything while it is imported
        raise UsageError(
            f"{field}: cannot load {spec!r}: {type(error).__name__}: {error}; {allowed}"
        ) from error
    if not callable(found):
        raise UsageError(
            f"{field}: {spec!r} is a {type(found).__name__}, not a function; {allowed}"
        )
    return found
