"""Null as Kubernetes reads it: it leaves a field unset that is not nullable."""

from typing import Any

from rljob.api.vocabulary import Schema, part_of, resolve, variants


def takes_null(field: Schema) -> bool:
    """Whether the field is nullable."""
    return any(part.get("type") == "null" for part in resolve(field).get("anyOf", []))


def without_nulls(value: Any, field: Schema) -> Any:
    """The value without the nulls of fields that are not nullable in the schema of `field`.

    A null in a required field or in a list stays: there it is a mistake.
    """
    if isinstance(value, list):
        items: Schema = next((part["items"] for part in variants(field) if "items" in part), {})
        return [without_nulls(item, items) for item in value]
    if not isinstance(value, dict):
        return value
    part = part_of(field) or {}
    fields, required = part.get("properties", {}), part.get("required", [])
    return {
        key: without_nulls(inner, fields.get(key, {}))
        for key, inner in value.items()
        if inner is not None or key in required or key not in fields or takes_null(fields[key])
    }
