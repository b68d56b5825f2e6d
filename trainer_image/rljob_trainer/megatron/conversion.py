"""Weights between a Megatron model and the names and layout of Hugging Face."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from megatron.core.utils import unwrap_model
from torch import Tensor, nn

from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.models.checkpoint import Safetensors
from rljob_trainer.models.config import ModelConfig
from rljob_trainer.models.table import Entry, Replicated, Table


class Conversion:
    """Moves weights into and out of one model, by its family's table."""

    def __init__(self, model: Any, table: Table, config: ModelConfig, parallel: Parallel) -> None:
        """Finds each entry's parameter in the model, which must have no other."""
        self._config = config
        self._parallel = parallel
        parameters: dict[str, nn.Parameter] = dict(unwrap_model(model).named_parameters())
        self._entries = [
            (entry, parameters.pop(_name(entry, parameters))) for entry in table.entries(config)
        ]
        if parameters:
            raise AssertionError(f"the table lacks parameters of the model: {sorted(parameters)}")

    @torch.no_grad()
    def load(self, checkpoint: Safetensors) -> None:
        """Sets every parameter from a checkpoint that has passed its check."""
        rank, size = self._parallel.tp_rank, self._parallel.tp_size
        for entry, parameter in self._entries:
            full = [checkpoint.read(tensor.name) for tensor in entry.tensors]
            parameter.copy_(entry.layout.shard(full, self._config, rank, size))

    @torch.no_grad()
    def export(self) -> Iterator[tuple[str, Tensor]]:
        """Names and full tensors, the same on every rank. Collective over tensor-parallel ranks.

        Tensors may be views of the model: copy what must outlive the next step.
        """
        for entry, parameter in self._entries:
            tensors = entry.layout.full(self._shards(entry, parameter.detach()), self._config)
            for target, tensor in zip(entry.tensors, tensors, strict=True):
                yield target.name, tensor

    def _shards(self, entry: Entry, parameter: Tensor) -> list[Tensor]:
        if self._parallel.tp_size == 1 or isinstance(entry.layout, Replicated):
            return [parameter]
        shards = [torch.empty_like(parameter) for _ in range(self._parallel.tp_size)]
        dist.all_gather(shards, parameter, group=self._parallel.tp_group)
        return shards


def _name(entry: Entry, parameters: dict[str, nn.Parameter]) -> str:
    fused = entry.fused is not None and entry.parameter not in parameters
    return entry.fused if fused and entry.fused else entry.parameter
