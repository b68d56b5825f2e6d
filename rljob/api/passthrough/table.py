"""Names and simple types of the options of one package."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from rljob.api.nearest import nearest
from rljob.api.passthrough import owned, refused
from rljob.api.problem import Path, Problem, show

WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "list": "a list",
    "dict": "a mapping",
    "null": "null",
}
Section = Literal["megatron", "optimizer", "sglang"]


@dataclass(frozen=True)
class Option:
    """The values of an option: names of JSON types (none if no manifest can hold it), choices."""

    types: tuple[str, ...]
    choices: tuple[Any, ...] = ()

    def takes(self, value: Any) -> bool:
        """Whether the value has one of the types, and is among the choices if they are known."""
        kind = {type(None): "null"}.get(type(value), type(value).__name__)
        if self.choices and kind == "str":
            return value in self.choices
        return kind in self.types or (kind == "int" and "float" in self.types)

    @property
    def words(self) -> str:
        """The allowed values."""
        plain = [
            WORDS[name]
            for name in WORDS
            if name in self.types and not (self.choices and name == "str")
        ]
        parts = [str(choice) for choice in self.choices] + plain
        return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " or " + parts[-1]


@cache
def options(section: Section) -> dict[str, Option]:
    """The options of a section, by name."""
    text = resources.files(__package__).joinpath(f"{section}.json").read_text("utf-8")
    return {
        name: Option(tuple(entry["types"]), tuple(entry.get("choices", ())))
        for name, entry in json.loads(text).items()
    }


PACKAGES: Mapping[Section, str] = {
    "megatron": "megatron-core 0.16.1's TransformerConfig",
    "optimizer": "megatron-core 0.16.1's OptimizerConfig and OptimizerParamScheduler",
    "sglang": "SGLang 0.5.23's ServerArgs",
}


def check_options(section: Section, path: Path, given: dict[str, Any]) -> Iterator[Problem]:
    """A problem for each option that is unknown, set by rljob, refused, or of the wrong type."""
    known = options(section)
    unsupported = refused.SGLANG if section == "sglang" else {}
    reserved = owned.FIELDS[section]
    for name, value in given.items():
        here = (*path, name)
        if name in reserved:
            yield _owned(here, reserved[name])
        elif name not in known:
            yield _unknown(here, name, section)
        elif not known[name].types:
            yield Problem(here, message="takes a Python object, which a manifest can't hold")
        elif not known[name].takes(value):
            yield Problem(here, show(value), known[name].words)
        elif name in unsupported and (found := unsupported[name].problem(here, value)) is not None:
            yield found


def _owned(path: Path, instead: str) -> Problem:
    if instead:
        return Problem(path, "an option that rljob sets", instead, "the field to use")
    return Problem(path, message="rljob sets this option itself; leave it out")


def _unknown(path: Path, name: str, section: Section) -> Problem:
    usable = options(section).keys() | owned.FIELDS[section].keys()
    match = nearest(name, sorted(usable))
    if match is None:
        return Problem(path, message=f"not an option of {PACKAGES[section]}")
    instead = owned.FIELDS[section].get(match)
    if instead is not None:
        return _owned(path, instead)
    return Problem(path, "an unknown option", match, f"the nearest name in {PACKAGES[section]}")
