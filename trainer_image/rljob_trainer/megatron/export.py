"""The weights of a run's checkpoint as a Hugging Face directory."""

from pathlib import Path
from typing import Any

import torch
from megatron.core import dist_checkpointing

from rljob.api import RLJob
from rljob_trainer.megatron.conversion import Conversion
from rljob_trainer.megatron.model import build_model
from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.models.checkpoint import save_checkpoint
from rljob_trainer.models.source import open_source

_EMBEDDING = "embedding.word_embeddings.weight"


def export(job: RLJob, parallel: Parallel, checkpoint: Path, output: Path) -> None:
    """Writes what `Policy.save_huggingface` would, from a checkpoint's `model` directory.

    Collective; the sizes of the processes need not be those that wrote it.

    Args:
        job: of this process's parallel sizes.
        parallel: of this process.
        checkpoint: directory of dist_checkpointing.
        output: replaced where it is there.

    Raises:
        UsageError: the model that the run began with is gone, or is another now.
    """
    spec = job.spec
    base = Path(spec.model.checkpoint)
    source = open_source(base, spec.model.architecture)
    dtype = _stored_dtype(checkpoint)
    model = build_model(source.architecture, source.config, spec.trainer, parallel, dtype)
    wanted = {"model": model.sharded_state_dict()}
    model.load_state_dict(dist_checkpointing.load(wanted, str(checkpoint))["model"])
    weights = Conversion(model, source.architecture.table, source.config, parallel).export()
    save_checkpoint(output, weights, source=base)


def _stored_dtype(checkpoint: Path) -> torch.dtype:
    """Of the policy's weights: the run may have had another device, with another `auto`."""
    tensors: dict[str, Any] = dist_checkpointing.load_tensors_metadata(str(checkpoint))
    dtype: torch.dtype = tensors[_EMBEDDING].dtype
    return dtype
