"""Converts weights between a Megatron model and the names and layout of Hugging Face."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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

_EMBEDDING = "embedding.word_embeddings.weight"
_HEAD = "output_layer."
_OUTPUT = _HEAD + "weight"
_LAYER = re.compile(r"^decoder\.layers\.(\d+)\.")
_EXPERT = re.compile(r"(?<=\.local_experts\.)\d+(?=\.)|(?<=\.experts\.linear_fc[12]\.weight)\d+$")
# Shards of this many bytes travel to rank 0 together; the next ones while those are used.
_WINDOW_BYTES = 64 * 2**20


@dataclass(frozen=True)
class _Shard:
    """A rank's part of an entry, as the other ranks know it."""

    rank: int
    shape: tuple[int, ...]
    dtype: torch.dtype


class Conversion:
    """Moves weights into and out of one model, using its family's table."""

    def __init__(
        self,
        chunks: Iterable[Any],
        table: Table,
        config: ModelConfig,
        parallel: Parallel,
        *,
        values: bool = False,
    ) -> None:
        """Finds each entry's parameter in the model, which must have no others. Collective.

        Args:
            chunks: the parts of the model on this rank.
            table: of its family.
            config: its sizes.
            parallel: the layout of the ranks.
            values: the model has a value head in place of the output layer; neither is moved.
        """
        self._config = config
        self._parallel = parallel
        held: dict[str, Tensor] = {}
        for chunk in chunks:
            held |= _tensors(unwrap_model(chunk))
        if values:
            held = {name: found for name, found in held.items() if not name.startswith(_HEAD)}
        self._entries = [
            entry
            for entry in table.entries(config)
            if not (values and entry.parameter.startswith(_HEAD))
        ]
        # A tied output layer on another pipeline stage than the embedding is a copy of it.
        self._copy = held.pop(_OUTPUT, None) if config.tied else None
        self._mine: dict[int, Tensor] = {}  # by the number of the entry
        for number, entry in enumerate(self._entries):
            name = next((name for name in _names(entry) if name in held), None)
            if name is not None:
                self._mine[number] = held.pop(name)
        if held:
            raise AssertionError(f"the table lacks parameters of the model: {sorted(held)}")
        self._shards = self._all_shards()

    @torch.no_grad()
    def load(self, checkpoint: Safetensors) -> None:
        """Sets every parameter from a checkpoint that has passed its check."""
        for number, parameter in self._mine.items():
            self._read(checkpoint, self._entries[number], parameter)
        if self._copy is not None:
            embedding = next(each for each in self._entries if each.parameter == _EMBEDDING)
            self._read(checkpoint, embedding, self._copy)

    @torch.no_grad()
    def export(self) -> Iterator[tuple[str, Tensor]]:
        """Yields names and full tensors on rank 0, nothing on the others. Collective.

        Only the ranks whose shards make up one copy of the model take part, and only rank 0 gets
        them. Tensors may be views of the model: copy what must outlive the next step.
        """
        windows = list(self._windows())
        started = self._start(windows[0])
        for place, window in enumerate(windows):
            present, requests = started
            if place + 1 < len(windows):
                started = self._start(windows[place + 1])
            for request in requests:
                request.wait()
            if self._parallel.rank != 0:
                continue
            for number in window:
                entry = self._entries[number]
                tensors = entry.layout.full(present[number], self._config)
                for target, tensor in zip(entry.tensors, tensors, strict=True):
                    yield target.name, tensor

    def _read(self, checkpoint: Safetensors, entry: Entry, parameter: Tensor) -> None:
        full = [checkpoint.read(tensor.name) for tensor in entry.tensors]
        rank, size = self._place(entry)
        parameter.copy_(entry.layout.shard(full, self._config, rank, size))

    def _place(self, entry: Entry) -> tuple[int, int]:
        """This rank's number among those that hold the parts of such an entry, and theirs."""
        parallel = self._parallel
        if entry.expert is None:
            return parallel.tp_rank, parallel.tp_size
        return parallel.etp_rank, parallel.etp_size

    def _all_shards(self) -> list[list[_Shard]]:
        """Of each entry, the shards that make up one copy, each from the first rank that has it."""
        mine = {
            number: (self._place(self._entries[number]), tuple(tensor.shape), tensor.dtype)
            for number, tensor in self._mine.items()
        }
        everyone: list[Any] = [None] * self._parallel.world_size
        if self._parallel.world_size > 1:
            dist.all_gather_object(everyone, mine)
        else:
            everyone = [mine]
        by_place: list[dict[int, _Shard]] = [{} for _ in self._entries]
        sizes = [1] * len(self._entries)
        for rank, theirs in enumerate(everyone):
            for number, ((place, size), shape, dtype) in theirs.items():
                by_place[number].setdefault(place, _Shard(rank, shape, dtype))
                sizes[number] = size
        missing = [
            entry.parameter
            for entry, found, size in zip(self._entries, by_place, sizes, strict=True)
            if len(found) != size
        ]
        if missing:
            raise AssertionError(f"no rank has these parameters of the table: {missing}")
        return [
            [found[0]]
            if isinstance(entry.layout, Replicated)
            else [found[place] for place in range(size)]
            for entry, found, size in zip(self._entries, by_place, sizes, strict=True)
        ]

    def _windows(self) -> Iterator[list[int]]:
        """The numbers of the entries, in portions of similar size."""
        window: list[int] = []
        size = 0
        for number, shards in enumerate(self._shards):
            window.append(number)
            size += sum(_nbytes(shard) for shard in shards)
            if size >= _WINDOW_BYTES:
                yield window
                window, size = [], 0
        if window:
            yield window

    def _start(self, window: list[int]) -> tuple[dict[int, list[Tensor]], list[dist.Work]]:
        """Starts to bring the shards of some entries to rank 0; there, also where they will be."""
        rank = self._parallel.rank
        present: dict[int, list[Tensor]] = {}
        operations = []
        for number in window:
            shards = []
            for shard in self._shards[number]:
                if shard.rank == rank:
                    tensor = self._mine[number].detach()
                    if rank != 0:
                        tensor = tensor.contiguous()
                        operations.append(dist.P2POp(dist.isend, tensor, 0))
                elif rank == 0:
                    tensor = torch.empty(
                        shard.shape, dtype=shard.dtype, device=self._parallel.device
                    )
                    operations.append(dist.P2POp(dist.irecv, tensor, shard.rank))
                else:
                    continue
                shards.append(tensor)
            present[number] = shards
        return present, dist.batch_isend_irecv(operations) if operations else []


def _tensors(model: Any) -> dict[str, Tensor]:
    """A model's weights by the names that they have in the whole model.

    Modules of a pipeline stage, and of an expert-parallel rank, count their layers and experts
    from 0.
    """
    layers = model.decoder.layers
    found = dict(model.named_parameters())
    # What a router adds to its scores is no parameter, as no gradient changes it.
    found |= {
        name: buffer for name, buffer in model.named_buffers() if name.endswith(ROUTER_BIAS_NAME)
    }

    def whole(name: str) -> str:
        match = _LAYER.match(name)
        if match is None:
            return name
        layer = layers[int(match[1])]
        name = f"decoder.layers.{layer.layer_number - 1}.{name[match.end() :]}"
        return _EXPERT.sub(lambda own: str(layer.mlp.local_expert_indices[int(own[0])]), name)

    return {whole(name): tensor for name, tensor in found.items()}


def _names(entry: Entry) -> Iterator[str]:
    """The names that a parameter may have."""
    yield entry.parameter
    if entry.fused is not None:
        yield entry.fused


def _nbytes(shard: _Shard) -> int:
    return torch.Size(shard.shape).numel() * shard.dtype.itemsize
