"""A model of the job: built, loaded from Hugging Face, and given back in that format."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor

from rljob.api import RLJob
from rljob_trainer.megatron.conversion import Conversion
from rljob_trainer.megatron.gpt import build_model, resolve_dtype
from rljob_trainer.megatron.heads import Head, LanguageHead, value_head
from rljob_trainer.megatron.host_weights import HostWeights
from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.models.checkpoint import save_checkpoint
from rljob_trainer.models.source import open_source

_TINY = 20_000_000  # parameters; below this a second thread costs more than it gains


class Model:
    """Weights on the ranks of one layout: a language model, or a critic with a value head."""

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
        self.dtype = resolve_dtype(spec.model.dtype, parallel.device)
        self.module = build_model(
            architecture, config, spec.trainer, parallel, self.dtype, values=values
        )
        self.head: Head = value_head if values else LanguageHead(parallel, config.vocabulary)
        self._host: HostWeights | None = None
        self._checkpoint = checkpoint
        self._conversion = Conversion(
            self.module, architecture.table, config, parallel, values=values
        )
        self._conversion.load(source.weights)
        if parallel.device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
            size = sum(parameter.numel() for parameter in self.module.parameters())
            if size <= _TINY:
                torch.set_num_threads(1)

    def frozen(self, *, on_host: bool = False) -> "Model":
        """The same model, whose weights need no gradient from now on.

        Args:
            on_host: they leave the device, except where the model is `resident`.
        """
        self.module.requires_grad_(False)
        if on_host:
            self._host = HostWeights(self.module, self.parallel.device)
        return self

    def resident(self) -> AbstractContextManager[None]:
        """The model can compute inside of this context."""
        return self._host.resident() if self._host else nullcontext()

    @torch.no_grad()
    def copy(self, other: "Model") -> None:
        """Takes the present weights of another model of the same kind and layout."""
        pairs = zip(self.module.parameters(), other.module.parameters(), strict=True)
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
