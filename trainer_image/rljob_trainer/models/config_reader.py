"""Typed access to a Hugging Face config.json."""

import math
from collections.abc import Mapping
from typing import Any

from rljob.errors import UsageError


class ConfigReader:
    """Typed access to the fields of a config.json, with errors that name the field."""

    def __init__(self, fields: Mapping[str, Any], where: str) -> None:
        self._fields = fields
        self._where = where

    def error(self, field: str, found: Any, allowed: str) -> UsageError:
        """The error for a field whose value is not allowed."""
        return UsageError(f"{self._where}: {field}: found {found!r}, allowed: {allowed}")

    def get(self, field: str, default: Any = None) -> Any:
        """Returns a field as it is; null counts as absent."""
        value = self._fields.get(field)
        return default if value is None else value

    def positive_int(self, field: str, default: int | None = None) -> int:
        """Returns a field that must be a whole number above 0."""
        value = self.get(field, default)
        if value is None:
            raise UsageError(f"{self._where}: {field}: missing")
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.error(field, value, "a whole number above 0")
        return value

    def positive_number(self, field: str, default: float | None = None) -> float:
        """Returns a field that must be a number above 0."""
        value = self.get(field, default)
        if value is None:
            raise UsageError(f"{self._where}: {field}: missing")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value <= 0:
            raise self.error(field, value, "a number above 0")
        return float(value)

    def whole(self, field: str, default: int | None = None) -> int:
        """Returns a field that must be a whole number, 0 or above."""
        value = self.get(field, default)
        return 0 if value == 0 and value is not False else self.positive_int(field, default)

    def flag(self, field: str, default: bool) -> bool:
        """Returns a field that must be true or false."""
        value = self.get(field, default)
        if not isinstance(value, bool):
            raise self.error(field, value, "true or false")
        return value

    def only(self, field: str, allowed: Any, default: Any) -> None:
        """Refuses values of a field that would change the computation in an unsupported way."""
        value = self.get(field, default)
        if value != allowed:
            raise self.error(field, value, repr(allowed))

    def section(self, field: str) -> "ConfigReader":
        """Returns a field that must be an object; absent means empty."""
        value = self.get(field, {})
        if not isinstance(value, dict):
            raise self.error(field, value, "an object")
        return ConfigReader(value, f"{self._where}: {field}")
