"""A model of the job: built, loaded from Hugging Face, and given back in that format."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path

import torch
from megatron.core.utils import unwrap_model
from torch import Tensor, nn

from rljob.api import RLJob
from rljob_trainer.megatron.conversion import Conversion
from rljob_trainer.megatron.gpt import build_chunks, resolve_dtype
from rljob_trainer.megatron.heads import Head, LanguageHead, value_head
from rljob_trainer.megatron.host_weights import HostWeights
from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.models.checkpoint import save_checkpoint
from rljob_trainer.models.source import open_source

_TINY = 20_000_000  # parameters; below this a second thread costs more than it gains


class Model:
    """Weights on the ranks of one layout: a language model, or a critic with a value head.

    `chunks` are the parts of it on this rank: one, or several if pipeline stages are interleaved.
    """

    def __init__(
        self, job: RLJob, parallel: Parallel, checkpoint: Path, *, values: bool = False
    ) -> None:
        """Builds the model and reads its weights from a Hugging Face checkpoint.

        Args:
            values: it gives values instead of log-probabilities. The checkpoint may be one of a
                language model: its output layer is not read.

        Raises:
            UsageError: the checkpoint, or an option of the job, is wrong.
        """
        spec = job.spec
        source = open_source(checkpoint, spec.model.architecture)
        architecture, config = source.architecture, source.config
        self.parallel = parallel
        self.vocabulary = config.vocabulary
        self._tied = config.tied
        self.dtype = resolve_dtype(spec.model.dtype, parallel.device)
        self.chunks = nn.ModuleList(
            build_chunks(architecture, config, spec.trainer, parallel, self.dtype, values=values)
        )
        self.head: Head = value_head if values else self.language_head
        self._host: HostWeights | None = None
        self._checkpoint = checkpoint
        self._conversion = Conversion(
            self.chunks, architecture.table, config, parallel, values=values
        )
        self._conversion.load(source.weights)
        if parallel.device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
            size = sum(parameter.numel() for parameter in self.chunks.parameters())
            if size <= _TINY:
                torch.set_num_threads(1)

    @cached_property
    def language_head(self) -> LanguageHead:
        """Reads log-probabilities and entropies of its output."""
        last = unwrap_model(self.chunks[-1])
        return LanguageHead(
            self.parallel,
            self.vocabulary,
            lambda: (
                last.shared_embedding_or_output_weight() if self._tied else last.output_layer.weight
            ),
            sequence_parallel=last.config.sequence_parallel,
        )

    def frozen(self, *, on_host: bool = False) -> "Model":
        """The same model, whose weights need no gradient from now on.

        Args:
            on_host: they leave the device, except where the model is `resident`.
        """
        self.chunks.requires_grad_(False)
        if on_host:
            self._host = HostWeights(self.chunks, self.parallel.device)
        return self

    def resident(self) -> AbstractContextManager[None]:
        """The model can compute inside of this context."""
        return self._host.resident() if self._host else nullcontext()

    @torch.no_grad()
    def copy(self, other: "Model") -> None:
        """Takes the present weights of another model of the same kind and layout."""
        pairs = zip(self.chunks.parameters(), other.chunks.parameters(), strict=True)
        for mine, theirs in pairs:
            mine.copy_(theirs)

    def export(self) -> Iterator[tuple[str, Tensor]]:
        """Full weights by their Hugging Face names, in a fixed order, on rank 0. Collective.

        The other ranks get nothing, but have to iterate, too. The tensors are views of the live
        weights where possible.
        """
        return self._conversion.export()

    def save_huggingface(self, directory: Path) -> None:
        """Writes a Hugging Face checkpoint for transformers and engines. Collective.

        It appears only when it is complete; an existing one is replaced.
        """
        weights = self.export()
        if self.parallel.rank == 0:
            save_checkpoint(directory, weights, source=self._checkpoint)
        else:
            for _ in weights:
                pass
