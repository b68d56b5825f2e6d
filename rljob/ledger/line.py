"""An event as a line of the ledger, with a checksum that detects damage."""

import json
import zlib
from typing import Any

from pydantic import ValidationError

from rljob.ledger.event import EVENT, Event


class LineError(ValueError):
    """A line that is not a valid event."""


def encode(event: Event) -> dict[str, Any]:
    """The record of an event."""
    record = event.model_dump()
    return record | {"crc": _checksum(record)}


def decode(line: bytes) -> Event:
    """The event in a line.

    Raises:
        LineError: the line is damaged, or from another version of rljob.
    """
    try:
        record = json.loads(line)
    except ValueError as error:
        raise LineError(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise LineError(f"found a JSON {type(record).__name__}; expected an event")
    stated = record.pop("crc", None)
    computed = _checksum(record)
    if stated != computed:
        raise LineError(f"the checksum is {computed}, but the line says {stated}: it was changed")
    try:
        return EVENT.validate_python(record)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        message = f"not an event of this version of rljob: {place}: {first['msg']}"
        raise LineError(message) from error


def _checksum(record: dict[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(record, separators=(',', ':')).encode()):08x}"
