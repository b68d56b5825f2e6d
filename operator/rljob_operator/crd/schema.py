"""From the models' JSON schema to a structural OpenAPI v3 schema, as a CRD must have it.

The API server reads it as pydantic reads the models:

- A part of the manifest that may be left out has `{}` as its default, so that the defaults inside
  it are filled in too.
- A field that takes null is nullable: null is kept. In any other field null means that the field
  is left out; `rljob.api.null` does the same.
"""

from typing import Any

from rljob.api.null import takes_null
from rljob.api.vocabulary import Schema, resolve, variants

INT32, INT64 = 2**31 - 1, 2**63 - 1
LIST_TYPE = "x-kubernetes-list-type"
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
        field: a schema of `rljob.api.vocabulary.root()`, of a model, or of a field in one.
        defaults: whether the API server fills in what is left out; it must not in a status, which
            says what was observed.
    """
    parts = variants(field)
    schema: dict[str, Any] = {}
    description = _description(field, parts)
    if description:
        schema["description"] = description
    schema |= _one(parts[0], defaults=defaults) if len(parts) == 1 else _union(parts)
    if takes_null(field):
        schema["nullable"] = True
    return schema


def _description(field: Schema, parts: list[Schema]) -> str:
    """What the field says, and what the model in it says about itself."""
    said = [field.get("description", "")]
    if len(parts) == 1 and "properties" in parts[0]:
        said.append(parts[0].get("description", ""))
    return " ".join(dict.fromkeys(" ".join(text.split()) for text in said if text))


def _default(field: Schema, schema: dict[str, Any]) -> Any:
    """The value of a field that is left out; None: it stays away."""
    if field.get("default") is not None:
        return field["default"]
    if schema.get("nullable"):
        return None
    return {"object": {}, "array": []}.get(schema["type"])


def _one(part: Schema, *, defaults: bool) -> dict[str, Any]:
    schema = {key: part[key] for key in KEPT if key in part}
    if "const" in part:
        schema["enum"] = [part["const"]]
    if part.get("type") == "integer":
        schema |= _integer(schema)
    if "exclusiveMinimum" in part:  # a number in JSON schema, a flag in OpenAPI v3.0
        schema |= {"minimum": part["exclusiveMinimum"], "exclusiveMinimum": True}
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
    if "properties" in part:
        required = part.get("required", [])
        schema["properties"] = {}
        for name, field in part["properties"].items():
            schema["properties"][name] = inner = structural(field, defaults=defaults)
            if defaults and name not in required and (value := _default(field, inner)) is not None:
                inner["default"] = value
        schema |= {"required": required} if required else {}
    elif isinstance(part["additionalProperties"], dict):
        schema["additionalProperties"] = structural(part["additionalProperties"], defaults=defaults)
    else:
        schema["x-kubernetes-preserve-unknown-fields"] = True
    return schema


def _union(parts: list[Schema]) -> dict[str, Any]:
    """Texts of several kinds, e.g. a known name or a hook: one type, and one of several forms.

    Raises:
        ValueError: where the alternatives have different types, which no structural schema can say.
    """
    if {part.get("type") for part in parts} != {"string"}:
        raise ValueError(f"alternatives of different types: {parts}")
    forms = [{key: part[key] for key in KEPT if key in part and key != "type"} for part in parts]
    for form, part in zip(forms, parts, strict=True):
        if "const" in part:
            form["enum"] = [part["const"]]
    return {"type": "string", "anyOf": forms}


def spec_and_status(root: Schema) -> dict[str, Any]:
    """The properties of the whole object, besides those that the API server itself defines."""
    status = resolve(variants(root["properties"]["status"])[0])
    return {
        "spec": structural(root["properties"]["spec"]),
        "status": structural(
            status | {"description": root["properties"]["status"]["description"]}, defaults=False
        ),
    }
