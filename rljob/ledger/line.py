"""An event as a line of the ledger, with a checksum that tells a damaged line."""

import json
import zlib
from typing import Any

from pydantic import ValidationError

from rljob.ledger.event import EVENT, Event


class LineError(ValueError):
    """A line that holds no event."""


def encode(event: Event) -> dict[str, Any]:
    """The record of an event."""
    record = event.model_dump()
    return record | {"crc": _checksum(record)}


def decode(line: bytes) -> Event:
    """The event in a line.

    Raises:
        LineError: it is damaged, or of another version of this program.
    """
    try:
        record = json.loads(line)
    except ValueError as error:
        raise LineError(f"no JSON: {error}") from error
    if not isinstance(record, dict):
        raise LineError(f"found a JSON {type(record).__name__}; expected an event")
    stated = record.pop("crc", None)
    computed = _checksum(record)
    if stated != computed:
        raise LineError(f"its checksum is {computed}, but it states {stated}: it was changed")
    try:
        return EVENT.validate_python(record)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise LineError(f"no event of this version of rljob: {place}: {first['msg']}") from error


def _checksum(record: dict[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(record, separators=(',', ':')).encode()):08x}"
