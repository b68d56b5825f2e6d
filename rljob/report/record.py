"""Reads the JSON Lines files of a run, even if they are missing or damaged."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Records:
    """The records of a JSON Lines file, and how many lines could not be read."""

    records: list[dict[str, Any]] = field(default_factory=list)
    torn: int = 0


def read_records(path: Path) -> Records:
    """Every line that is a JSON object; none if the file does not exist.

    The last line of a run that is active or was killed may be incomplete.
    """
    found = Records()
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return found
    for line in lines:
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            found.records.append(record)
        else:
            found.torn += 1
    return found
