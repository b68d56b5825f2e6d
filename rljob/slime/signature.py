"""How a hook of slime is told from one of rljob."""

import inspect
from collections.abc import Callable
from typing import Any


def is_slime_hook(function: Callable[..., Any]) -> bool:
    """Whether the first parameter is named `args`, as in all functions that slime calls."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # a function of C without a signature
        return False
    return bool(names) and names[0] == "args"


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a function has a parameter of this name."""
    return name in inspect.signature(function).parameters
