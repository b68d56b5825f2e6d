"""The weights of a run's checkpoint as a Hugging Face directory."""

from pathlib import Path
from typing import Any

import torch
from megatron.core import dist_checkpointing

from rljob.api import RLJob
from rljob_trainer.megatron.checkpoint import load_sharded, sharded
from rljob_trainer.megatron.conversion import Conversion
from rljob_trainer.megatron.gpt import build_chunks
from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.models.checkpoint import save_checkpoint
from rljob_trainer.models.source import open_source

_EMBEDDING = "embedding.word_embeddings.weight"


def export(job: RLJob, parallel: Parallel, checkpoint: Path, output: Path) -> None:
    """Writes what `Model.save_huggingface` would, from a checkpoint's `model` directory.

    Collective; the parallel sizes need not be those that wrote the checkpoint.

    Args:
        job: with the parallel sizes of this process.
        parallel: of this process.
        checkpoint: a dist_checkpointing directory.
        output: replaced if it exists.

    Raises:
        UsageError: the model that the run started from is gone or has changed.
    """
    spec = job.spec
    base = Path(spec.model.checkpoint)
    source = open_source(base, spec.model.architecture)
    dtype = _stored_dtype(checkpoint)
    chunks = build_chunks(source.architecture, source.config, spec.trainer, parallel, dtype)
    stored = dist_checkpointing.load({"model": sharded(chunks)}, str(checkpoint))
    load_sharded(chunks, stored["model"])
    weights = Conversion(chunks, source.architecture.table, source.config, parallel).export()
    save_checkpoint(output, weights, source=base)


def _stored_dtype(checkpoint: Path) -> torch.dtype:
    """The dtype of the stored weights: `auto` may have meant another one on the run's device."""
    tensors: dict[str, Any] = dist_checkpointing.load_tensors_metadata(str(checkpoint))
    dtype: torch.dtype = tensors[_EMBEDDING].dtype
    return dtype
