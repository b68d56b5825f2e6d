"""Validation of a document by the models: problems by field, and a job of the valid fields."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from rljob.api.base import LARGEST_INT, Part
from rljob.api.nearest import CLOSE, nearest
from rljob.api.null import without_nulls
from rljob.api.problem import NOTHING, Path, Problem, show
from rljob.api.rljob import RLJob
from rljob.api.vocabulary import names_at, places_of, root, schema_at, words

UNKNOWN = "an unknown field"
Model = TypeVar("Model", bound=Part)


def parse(value: dict[str, Any], spoiled: set[Path]) -> tuple[RLJob, list[Problem]]:
    """Parse a document: the job, and a problem for every wrong field.

    With problems the job is partial: a wrong or missing field is not an attribute of it, and
    reading one raises AttributeError (see `is_left_out`). Rules can then check the other fields.
    As in Kubernetes, numbers and strings are not converted into each other, and null leaves a field
    unset that is not nullable.

    Args:
        value: the document.
        spoiled: fields that could not be read and were reported; they are left out, and not
            reported again.
    """
    value = without_nulls(value, root())
    try:
        job = RLJob.model_validate(value, strict=True, by_alias=True, by_name=False)
        problems: list[Problem] = []
    except ValidationError as error:
        job = None
        problems = [problem for problem in _problems(error, value) if problem.path not in spoiled]
    if job is not None and not spoiled:
        return job, []
    broken = {problem.path for problem in problems} | spoiled
    # A misspelt field leaves the default in the field that was meant: rules must not see that.
    for problem in problems:
        meant = _meant(problem.path, value) if problem.found == UNKNOWN else None
        if meant is not None:
            broken.add((*problem.path[:-1], meant))
    return _partial(RLJob, value, (), broken), problems


def is_left_out(error: AttributeError) -> bool:
    """Whether the error comes from reading a field that a partial job does not have."""
    return isinstance(error.obj, Part) and error.name in type(error.obj).model_fields


def _problems(error: ValidationError, value: dict[str, Any]) -> list[Problem]:
    found: dict[Path, Problem] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "default_factory_not_called":
            continue  # a default that depends on other fields, of which one is wrong
        path = _data_path(value, detail["loc"], missing=detail["type"] == "missing")
        if path in found and detail["type"] != "string_too_long":
            continue  # pydantic reports each alternative of a union
        if detail["type"] == "extra_forbidden":
            found[path] = _unknown(path, value)
        elif detail["type"] == "missing":
            found[path] = Problem(path, NOTHING, _allowed(path), "the field is required")
        else:
            found[path] = _refused(path, detail)
    return list(found.values())


def _data_path(value: Any, location: tuple[str | int, ...], *, missing: bool) -> Path:
    """The part of pydantic's location that exists in the data; unions add steps that do not."""
    path: Path = ()
    for step in location:
        if isinstance(value, dict) and step in value:
            value = value[str(step)]
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step]
        elif missing and isinstance(value, dict):
            return (*path, step)
        else:
            break
        path = (*path, step)
    return path


def _allowed(path: Path) -> str:
    schema = schema_at(path)
    # An item of a mapping of strings has no schema of its own.
    return words(schema) if schema is not None else "a string"


def _refused(path: Path, detail: Mapping[str, Any]) -> Problem:
    """The problem of a value that is not allowed; unusual bounds are named only when exceeded."""
    said, allowed, bounds = show(detail["input"]), _allowed(path), detail.get("ctx", {})
    match detail["type"]:
        case "less_than_equal" if bounds["le"] == LARGEST_INT:
            allowed = f"at most {LARGEST_INT}"
        case "string_too_long" if str(bounds["max_length"]) not in allowed:
            allowed = f"at most {bounds['max_length']} characters"
        case "too_long":
            said, allowed = f"{bounds['actual_length']} items", f"at most {bounds['max_length']}"
        case "too_short":
            allowed = f"at least {bounds['min_length']} item"
    return Problem(path, said, allowed)


def _unknown(path: Path, value: dict[str, Any]) -> Problem:
    match = _meant(path, value)
    if match is not None:
        return Problem(path, UNKNOWN, match, "the nearest name")
    elsewhere = places_of(str(path[-1]))
    if elsewhere:
        return Problem(path, UNKNOWN, " or ".join(elsewhere), "where it belongs")
    return Problem(path, UNKNOWN, ", ".join(names_at(path[:-1])))


def _meant(path: Path, value: dict[str, Any]) -> str | None:
    """The sibling that an unknown field most likely means, among those that are not set."""
    beside: Any = value
    for step in path[:-1]:
        beside = beside[step]
    name, free = str(path[-1]), [key for key in names_at(path[:-1]) if key not in beside]
    close = nearest(name, free, cutoff=CLOSE)
    # The right name in another part is a better guess than a merely similar name here.
    return close if close or places_of(name) else nearest(name, free)


def _partial(model: type[Model], value: Any, path: Path, broken: set[Path]) -> Model:
    """The model with the valid fields of `value`; broken ones are not set at all."""
    values: dict[str, Any] = {}
    left_out: list[str] = []
    for name, info in model.model_fields.items():
        alias = info.alias or name
        here = (*path, alias)
        if _is_broken(info, here, broken):
            left_out.append(name)
        elif alias in value:
            values[name] = _partial_value(info, value[alias], here, broken)
    partial = cast(Model, model.model_construct(**values))
    for name in left_out:
        partial.__dict__.pop(name, None)
    return partial


def _is_broken(info: FieldInfo, path: Path, broken: set[Path]) -> bool:
    """Whether a field is left out; a list is read whole or not at all, so that indices hold."""
    inside = [other[len(path) :] for other in broken if other[: len(path)] == path]
    if _part(info.annotation) is None:
        return bool(inside)
    return any(not rest or (len(rest) == 1 and isinstance(rest[0], int)) for rest in inside)


def _partial_value(info: FieldInfo, value: Any, path: Path, broken: set[Path]) -> Any:
    part = _part(info.annotation)
    if part is None or value is None:
        return value
    if isinstance(value, list):
        return [_partial(part, item, (*path, index), broken) for index, item in enumerate(value)]
    return _partial(part, value, path, broken)


def _part(annotation: Any) -> type[Part] | None:
    """The model inside `Model`, `Model | None` or `list[Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation
    parts = (_part(argument) for argument in get_args(annotation))
    return next((part for part in parts if part is not None), None)
