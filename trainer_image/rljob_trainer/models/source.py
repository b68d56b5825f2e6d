"""A Hugging Face checkpoint that was checked and can be loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rljob.model_config import read_config
from rljob_trainer.models.architecture import Architecture
from rljob_trainer.models.checkpoint import Safetensors
from rljob_trainer.models.config import ModelConfig
from rljob_trainer.models.config_reader import ConfigReader
from rljob_trainer.models.registry import architecture_of


@dataclass(frozen=True)
class ModelSource:
    """What a policy is built and loaded from."""

    architecture: Architecture
    config: ModelConfig
    weights: Safetensors


def open_source(directory: Path, changes: Mapping[str, Any] | None) -> ModelSource:
    """Reads config.json and the names and shapes of all weights; no weights yet.

    Args:
        directory: the checkpoint.
        changes: the manifest's `model.architecture`.

    Raises:
        UsageError: it is not a checkpoint, has an unknown architecture, or its weights do not
            match its config; names the first difference.
    """
    where = f"model checkpoint {directory}: config.json"
    fields = read_config(directory, changes)
    architecture = architecture_of(fields, where)
    config = architecture.config(ConfigReader(fields, where))
    weights = Safetensors(directory)
    weights.check(architecture.table, config)
    return ModelSource(architecture, config, weights)
