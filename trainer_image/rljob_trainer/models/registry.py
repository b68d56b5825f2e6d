"""The model families that can be trained, found by config.json's `architectures`."""

from collections.abc import Mapping
from typing import Any

from rljob.errors import UsageError
from rljob_trainer.models.architecture import Architecture
from rljob_trainer.models.deepseek_v3 import DEEPSEEK_V3
from rljob_trainer.models.glm4 import GLM4
from rljob_trainer.models.glm4_moe import GLM4_MOE
from rljob_trainer.models.llama import LLAMA
from rljob_trainer.models.qwen2 import QWEN2
from rljob_trainer.models.qwen3 import QWEN3
from rljob_trainer.models.qwen3_moe import QWEN3_MOE

_FAMILIES = (DEEPSEEK_V3, GLM4, GLM4_MOE, LLAMA, QWEN2, QWEN3, QWEN3_MOE)
ARCHITECTURES = {architecture.name: architecture for architecture in _FAMILIES}


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
