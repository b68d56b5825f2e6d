"""Writes rljob/api/passthrough/*.json from the installed megatron-core and SGLang.

rljob itself must not import them, so it checks the options that it passes on against these tables.
Run `python tests/api/passthrough_tables.py` after a change of a pinned version;
test_passthrough_tables.py fails until then.

A table maps the name of an option to the JSON types that it takes, and to its choices where the
annotation or the command line lists them. No types: a value that no manifest can hold.
"""

import argparse
import dataclasses
import inspect
import json
import sys
import types
import typing
from pathlib import Path
from typing import Any

import rljob.api

FOLDER = Path(rljob.api.__file__).parent / "passthrough"
JSON_TYPES = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    list: "list",
    tuple: "list",
    dict: "dict",
    types.NoneType: "null",
}
# Names that the scheduler takes without a choice in its annotation (its code lists them).
SCHEDULE_CHOICES = {
    "lr_decay_style": ["constant", "linear", "cosine", "inverse-square-root", "WSD"],
    "lr_wsd_decay_style": ["linear", "cosine", "exponential", "minus_sqrt"],
    "wd_incr_style": ["constant", "linear", "cosine"],
}
Table = dict[str, dict[str, list[Any]]]


def tables() -> dict[str, Table]:
    """Every table by the name of its file."""
    return {**megatron_tables(), "sglang": sglang_table()}


def megatron_tables() -> dict[str, Table]:
    # sglang's flash_mla raises OSError without a GPU where megatron-core expects ImportError.
    sys.modules["flash_mla"] = None
    from megatron.core.optimizer.optimizer_config import OptimizerConfig
    from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler
    from megatron.core.transformer.transformer_config import TransformerConfig

    schedule = {
        name: entry(parameter.annotation)
        for name, parameter in inspect.signature(OptimizerParamScheduler).parameters.items()
        if name != "optimizer"
    }
    for name, choices in SCHEDULE_CHOICES.items():
        schedule[name]["choices"] = choices
    return {"megatron": fields(TransformerConfig), "optimizer": fields(OptimizerConfig) | schedule}


def fields(config: type) -> Table:
    annotations = typing.get_type_hints(config)
    return {
        field.name: entry(annotations[field.name])
        for field in dataclasses.fields(config)
        if not field.name.startswith("_")
    }


def sglang_table() -> Table:
    import msgspec
    from sglang.srt.server_args import ServerArgs

    table = {
        field.name: entry(field.type)
        for field in msgspec.structs.fields(ServerArgs)
        if not field.name.startswith("_")
    }
    parser = argparse.ArgumentParser()
    ServerArgs.add_cli_args(parser)
    for action in parser._actions:
        if action.choices and "str" in table.get(action.dest, {}).get("types", []):
            table[action.dest]["choices"] = sorted(map(str, action.choices))
    return table


def entry(annotation: Any) -> dict[str, list[Any]]:
    names: set[str] = set()
    choices: list[Any] = []
    for part in alternatives(annotation):
        if typing.get_origin(part) is typing.Literal:
            choices += typing.get_args(part)
            names |= {JSON_TYPES[type(choice)] for choice in typing.get_args(part)}
        else:
            plain = typing.get_origin(part) or part
            names |= {JSON_TYPES[plain]} if plain in JSON_TYPES else set()
    found: dict[str, list[Any]] = {"types": [] if names == {"null"} else sorted(names)}
    return found | ({"choices": choices} if choices else {})


def alternatives(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return alternatives(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [part for union in typing.get_args(annotation) for part in alternatives(union)]
    return [annotation]


def text(table: Table) -> str:
    lines = (f"  {json.dumps(name)}: {json.dumps(table[name])}" for name in sorted(table))
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    for stem, table in tables().items():
        (FOLDER / f"{stem}.json").write_text(text(table))
