"""Conversion of the models' JSON schema to a structural OpenAPI v3 schema, as a CRD needs it.

The API server must interpret it as pydantic does the models:

- The default of an optional part of the manifest contains all defaults inside it.
- A field that accepts null is nullable: null is kept. In any other field null means that the field
  is left out; `rljob.api.null` does the same.
"""

import json
from typing import Any

from rljob.api.null import takes_null
from rljob.api.problem import show
from rljob.api.rules.cel import expression
from rljob.api.vocabulary import Schema, resolve, variants, words

INT32, INT64 = 2**31 - 1, 2**63 - 1
VALIDATIONS = "x-kubernetes-validations"
LIST_TYPE = "x-kubernetes-list-type"
ANYTHING = "x-kubernetes-preserve-unknown-fields"
KEPT = (
    "type",
    "enum",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    LIST_TYPE,
    "x-kubernetes-list-map-keys",
)


def structural(field: Schema, *, defaults: bool = True) -> dict[str, Any]:
    """The structural schema of a field, with everything inside it.

    Args:
        field: a schema from `rljob.api.vocabulary.root()`: of a model, or of a field in one.
        defaults: whether the API server fills in defaults; not in a status, which must only say
            what was observed.
    """
    parts = variants(field)
    schema: dict[str, Any] = {}
    description = _description(field, parts)
    if description:
        schema["description"] = description
    schema |= _one(parts[0], defaults=defaults) if len(parts) == 1 else _union(field, parts)
    if takes_null(field):
        schema["nullable"] = True
    return schema


def _description(field: Schema, parts: list[Schema]) -> str:
    """The description of the field, and that of the model in it."""
    said = [field.get("description", "")]
    if len(parts) == 1 and "properties" in parts[0]:
        said.append(parts[0].get("description", ""))
    return " ".join(dict.fromkeys(" ".join(text.split()) for text in said if text))


def _default(field: Schema, schema: dict[str, Any]) -> Any:
    """The default of a field; None: no default."""
    if field.get("default") is not None:
        return field["default"]
    if schema.get("nullable"):
        return None
    if schema.get("type") == "array":
        return []
    if schema.get("type") != "object":
        return None
    # Complete, because the rules of the part are evaluated on this default.
    inner = schema.get("properties", {})
    return {name: field["default"] for name, field in inner.items() if "default" in field}


def _one(part: Schema, *, defaults: bool) -> dict[str, Any]:
    schema = {key: part[key] for key in KEPT if key in part}
    if "type" not in part:
        schema[ANYTHING] = True
    if "const" in part:
        schema["enum"] = [part["const"]]
    if part.get("type") == "integer":
        schema |= _integer(schema)
    for bound, strict in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if strict in part:  # a number in JSON schema, a boolean in OpenAPI v3.0
            schema |= {bound: part[strict], strict: True}
    if part.get("type") == "object":
        schema |= _object(part, defaults=defaults)
    if part.get("type") == "array":
        schema.setdefault(LIST_TYPE, "set" if part.get("uniqueItems") else "atomic")
        schema["items"] = structural(part["items"], defaults=defaults)
    return schema


def _integer(schema: dict[str, Any]) -> dict[str, Any]:
    return {"format": "int32" if schema.get("maximum", INT64) <= INT32 else "int64"}


def _object(part: Schema, *, defaults: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    others = part["additionalProperties"]
    defaults = defaults and others is False  # options passed through: the package's defaults
    if "properties" in part:
        required = part.get("required", [])
        schema["properties"] = {}
        for name, field in part["properties"].items():
            schema["properties"][name] = inner = structural(field, defaults=defaults)
            if defaults and name not in required and (value := _default(field, inner)) is not None:
                inner["default"] = value
                if not isinstance(value, dict | list):  # kubectl explain does not show defaults
                    plain = value if isinstance(value, str) else show(value)
                    inner["description"] += f" Default: {plain}."
        schema |= {"required": required} if required else {}
    if isinstance(others, dict):
        schema["additionalProperties"] = structural(others, defaults=defaults)
    elif others:
        schema[ANYTHING] = True
    return schema


def _union(field: Schema, parts: list[Schema]) -> dict[str, Any]:
    """Strings of several forms, e.g. a known name or a hook.

    It uses a rule instead of `anyOf`, whose error would only say that no form matches.

    Raises:
        ValueError: the alternatives have different types, which a structural schema can't express.
    """
    if {part.get("type") for part in parts} != {"string"}:
        raise ValueError(f"alternatives of different types: {parts}")
    forms = [_form(part) for part in parts]
    return {
        "type": "string",
        "maxLength": max(part.get("maxLength", 0) for part in parts),
        VALIDATIONS: [
            {
                "rule": " || ".join(forms),
                "messageExpression": expression(f'found "{{self}}", allowed {words(field)}'),
            }
        ],
    }


def _form(part: Schema) -> str:
    names = part.get("enum", [part.get("const")])
    return (
        f"self.matches({json.dumps(part['pattern'])})" if "pattern" in part else f"self in {names}"
    )


def spec_and_status(root: Schema) -> dict[str, Any]:
    """The properties of the object, except those that the API server defines itself."""
    status = resolve(variants(root["properties"]["status"])[0])
    return {
        "spec": structural(root["properties"]["spec"]),
        "status": structural(
            status | {"description": root["properties"]["status"]["description"]}, defaults=False
        ),
    }
