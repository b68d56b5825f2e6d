"""The model families that can be trained, found by config.json's `architectures`."""

from collections.abc import Mapping
from typing import Any

from rljob.errors import UsageError
from rljob_trainer.models.architecture import Architecture
from rljob_trainer.models.llama import LLAMA
from rljob_trainer.models.qwen3 import QWEN3

ARCHITECTURES = {architecture.name: architecture for architecture in (LLAMA, QWEN3)}


def architecture_of(fields: Mapping[str, Any], where: str) -> Architecture:
    """The family of a config.json.

    Raises:
        UsageError: it is none of the known ones.
    """
    names = fields.get("architectures")
    if isinstance(names, list) and len(names) == 1 and names[0] in ARCHITECTURES:
        return ARCHITECTURES[names[0]]
    known = ", ".join(sorted(ARCHITECTURES))
    raise UsageError(f"{where}: architectures: found {names!r}, allowed: one of {known}")
