"""Values that can pass from one process to another."""

import json
from collections.abc import Mapping
from typing import Any


def json_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that JSON can represent."""
    return {name: value for name, value in values.items() if _is_json(value)}


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
