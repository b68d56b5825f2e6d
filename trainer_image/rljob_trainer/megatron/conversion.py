"""Converts weights between a Megatron model and the names and layout of Hugging Face."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from megatron.core.utils import unwrap_model
from torch import Tensor

from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.models.checkpoint import Safetensors
from rljob_trainer.models.config import ModelConfig
from rljob_trainer.models.decoder import ROUTER_BIAS_NAME
from rljob_trainer.models.table import Entry, Replicated, Table

_OUTPUT_LAYER = "output_layer."


class Conversion:
    """Moves weights into and out of one model, using its family's table."""

    def __init__(
        self,
        model: Any,
        table: Table,
        config: ModelConfig,
        parallel: Parallel,
        *,
        values: bool = False,
    ) -> None:
        """Finds each entry's parameter in the model, which must have no others.

        With `values`, the model has a value head in place of the output layer: neither is moved.
        """
        self._config = config
        self._parallel = parallel
        module = unwrap_model(model)
        parameters: dict[str, Tensor] = dict(module.named_parameters()) | {
            name: buffer
            for name, buffer in module.named_buffers()
            if name.endswith(ROUTER_BIAS_NAME)
        }
        if values:
            parameters = {
                name: found
                for name, found in parameters.items()
                if not name.startswith(_OUTPUT_LAYER)
            }
        self._entries = [
            (entry, parameters.pop(_name(entry, parameters)))
            for entry in table.entries(config)
            if not (values and entry.parameter.startswith(_OUTPUT_LAYER))
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
        """Yields names and full tensors on rank 0, nothing on the others. Collective.

        Only the ranks that hold the shards of rank 0's copy take part, and only rank 0 gets them.
        Tensors may be views of the model: copy what must outlive the next step.
        """
        if self._parallel.dp_rank != 0:
            return
        for entry, parameter in self._entries:
            shards = self._gather(entry, parameter.detach())
            if self._parallel.tp_rank == 0:
                tensors = entry.layout.full(shards, self._config)
                for target, tensor in zip(entry.tensors, tensors, strict=True):
                    yield target.name, tensor

    def _gather(self, entry: Entry, parameter: Tensor) -> list[Tensor]:
        """Gathers the shards of a parameter on the first rank; the others get nothing."""
        parallel = self._parallel
        if parallel.tp_size == 1 or isinstance(entry.layout, Replicated):
            return [parameter]
        first = parallel.tp_rank == 0
        shards = [torch.empty_like(parameter) for _ in range(parallel.tp_size)] if first else []
        dist.gather(parameter, shards or None, group=parallel.tp_group, group_dst=0)
        return shards


def _name(entry: Entry, parameters: dict[str, Tensor]) -> str:
    fused = entry.fused is not None and entry.parameter not in parameters
    return entry.fused if fused and entry.fused else entry.parameter
