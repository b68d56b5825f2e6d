"""The config.json of a Hugging Face checkpoint."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rljob.errors import UsageError


def read_config(directory: Path, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The config.json of a checkpoint, with the manifest's `changes` applied.

    Raises:
        UsageError: the directory or its config.json does not exist, or is not a JSON object.
    """
    if not directory.is_dir():
        raise UsageError(f"model checkpoint {directory}: no such directory")
    path = directory / "config.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"model checkpoint {directory}: no config.json; a Hugging Face checkpoint has "
            "config.json and *.safetensors"
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: a JSON object is expected, found {type(content).__name__}")
    return {**content, **(changes or {})}
