"""The manifest's schema: its fields, and in words the values that each allows."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from rljob.api.base import DNS_SUBDOMAIN, LARGEST_INT, NETWORK, PATTERN_WORDS
from rljob.api.nearest import CLOSE, nearest
from rljob.api.problem import Path
from rljob.api.rljob import RLJob

Schema = dict[str, Any]
LONGEST_NAME = 100  # length limits from here on are not mentioned
NUMBERS = {"integer": "a whole number", "number": "a number"}


@cache
def root() -> Schema:
    """The JSON schema of the whole manifest, as generated from the models."""
    return RLJob.model_json_schema(by_alias=True)


def resolve(schema: Schema) -> Schema:
    """The schema that a reference names."""
    while "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        schema = root()["$defs"][name]
    return schema


def variants(schema: Schema) -> list[Schema]:
    """The alternatives of a schema, without null."""
    alternatives = [resolve(part) for part in resolve(schema).get("anyOf", [schema])]
    return [part for part in alternatives if part.get("type") != "null"]


def part_of(schema: Schema) -> Schema | None:
    """The alternative that is an object with fields, if there is one."""
    return next((part for part in variants(schema) if "properties" in part), None)


def schema_at(path: Path) -> Schema | None:
    """The schema of a field, None if the manifest has no such field."""
    schema: Schema | None = root()
    for key in path:
        if schema is None:
            return None
        if isinstance(key, int):
            items = [part.get("items") for part in variants(schema)]
            schema = next((item for item in items if item is not None), None)
        else:
            part = part_of(schema)
            schema = part["properties"].get(key) if part else None
    return schema


def names_at(path: Path) -> list[str]:
    """The fields of a part of the manifest."""
    schema = schema_at(path)
    part = part_of(schema) if schema is not None else None
    return list(part["properties"]) if part else []


def places_of(name: str) -> list[str]:
    """Dotted paths of the fields of the spec that a name may mean, list items as `[]`."""
    fields = list(_fields("spec", root()["properties"]["spec"]))
    # Among this many names, a merely similar one may be a coincidence.
    match = nearest(name, [key for _, key in fields], cutoff=CLOSE)
    found = [field for field, key in fields if key == match]
    # A field that is much deeper than another of its name is hardly ever meant.
    highest = min((field.count(".") for field in found), default=0)
    return [field for field in found if field.count(".") <= highest + 1]


def _fields(prefix: str, schema: Schema) -> Iterator[tuple[str, str]]:
    part = part_of(schema)
    for key, value in (part["properties"] if part else {}).items():
        yield f"{prefix}.{key}", key
        yield from _fields(f"{prefix}.{key}", value)
        for item in (alternative.get("items", {}) for alternative in variants(value)):
            yield from _fields(f"{prefix}.{key}[]", item)


def words(schema: Schema) -> str:
    """What a schema allows, worded to follow "allowed"."""
    parts = []
    for part in variants(schema):
        parts += [str(value) for value in part["enum"]] if "enum" in part else [_words(part)]
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " or " + parts[-1]


def _words(schema: Schema) -> str:
    kind = schema.get("type")
    if "const" in schema:
        said = str(schema["const"])
    elif kind in NUMBERS:
        said = NUMBERS[kind] + _range(schema)
    elif kind == "string":
        said = _text(schema)
    elif kind == "array":
        said = "a list of " + _plural(words(schema.get("items", {})))
    else:
        said = {"boolean": "true or false", "object": "a mapping"}.get(str(kind), "any value")
    return said


def _range(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above = schema.get("exclusiveMinimum")
    if high == LARGEST_INT:
        high = None  # mentioned only when exceeded, see rljob.api.fields
    if low is not None and high is not None:
        return f" from {low} to {high}"
    limits = [
        f"{name} {bound}"
        for name, bound in (
            ("of at least", low),
            ("above", above),
            ("of at most", high),
            ("below", schema.get("exclusiveMaximum")),
        )
        if bound is not None
    ]
    return " " + " and ".join(limits) if limits else ""


def _text(schema: Schema) -> str:
    said = PATTERN_WORDS[schema["pattern"]] if "pattern" in schema else "a string"
    if schema.get("maxLength", LONGEST_NAME) < LONGEST_NAME:
        said += f", at most {schema['maxLength']} characters"
    if schema.get("minLength"):
        said += " that is not empty"
    return said


def _plural(said: str) -> str:
    return {
        "a mapping": "mappings",
        "a string": "strings",
        "a string that is not empty": "strings that are not empty",
        "a whole number": "whole numbers",
        PATTERN_WORDS[NETWORK]: "names, or namespace/name",
        PATTERN_WORDS[DNS_SUBDOMAIN]: PATTERN_WORDS[DNS_SUBDOMAIN].replace("a name", "names"),
    }.get(said, said.replace("a whole number", "whole numbers"))
