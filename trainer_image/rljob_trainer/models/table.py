"""The table of a model family: which Hugging Face tensors each Megatron parameter holds, and how.

One table serves both directions: loading the shards of any tensor-parallel layout, and joining
shards again for the engines and for saving.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rljob_trainer.models.config import ModelConfig


class Layout(ABC):
    """How the full tensors of a parameter are joined and split over tensor-parallel ranks."""

    @abstractmethod
    def shard(self, full: Sequence[Tensor], config: ModelConfig, rank: int, size: int) -> Tensor:
        """The parameter on one of `size` ranks."""

    @abstractmethod
    def full(self, shards: Sequence[Tensor], config: ModelConfig) -> Sequence[Tensor]:
        """The full tensors, from the parameter on all ranks in their order."""


@dataclass(frozen=True)
class Replicated(Layout):
    """The same on every rank."""

    def shard(self, full: Sequence[Tensor], config: ModelConfig, rank: int, size: int) -> Tensor:
        return full[0]

    def full(self, shards: Sequence[Tensor], config: ModelConfig) -> Sequence[Tensor]:
        return shards[:1]


@dataclass(frozen=True)
class Split(Layout):
    """Split into equal parts along one dimension: 0 for column-parallel, 1 for row-parallel."""

    dim: int

    def shard(self, full: Sequence[Tensor], config: ModelConfig, rank: int, size: int) -> Tensor:
        return full[0].chunk(size, self.dim)[rank]

    def full(self, shards: Sequence[Tensor], config: ModelConfig) -> Sequence[Tensor]:
        return [_cat(shards, self.dim)]


@dataclass(frozen=True)
class Vocabulary(Layout):
    """Rows of the vocabulary, padded with zeros to a multiple of the number of ranks."""

    def shard(self, full: Sequence[Tensor], config: ModelConfig, rank: int, size: int) -> Tensor:
        rows = padded_vocabulary(config.vocabulary, size) // size
        part = full[0][rank * rows : (rank + 1) * rows]
        return torch.nn.functional.pad(part, (0, 0, 0, rows - part.shape[0]))

    def full(self, shards: Sequence[Tensor], config: ModelConfig) -> Sequence[Tensor]:
        return [_cat(shards, 0)[: config.vocabulary]]


@dataclass(frozen=True)
class GateUp(Layout):
    """Two column-parallel matrices; a rank holds its part of the first above that of the second."""

    def shard(self, full: Sequence[Tensor], config: ModelConfig, rank: int, size: int) -> Tensor:
        return torch.cat([matrix.chunk(size)[rank] for matrix in full])

    def full(self, shards: Sequence[Tensor], config: ModelConfig) -> Sequence[Tensor]:
        halves = [shard.chunk(2) for shard in shards]
        return [_cat([gate for gate, _ in halves], 0), _cat([up for _, up in halves], 0)]


@dataclass(frozen=True)
class FusedGateUp(GateUp):
    """The same, from one tensor that has the first matrix above the second."""

    def shard(self, full: Sequence[Tensor], config: ModelConfig, rank: int, size: int) -> Tensor:
        return super().shard(full[0].chunk(2), config, rank, size)

    def full(self, shards: Sequence[Tensor], config: ModelConfig) -> Sequence[Tensor]:
        return [_cat(super().full(shards, config), 0)]


@dataclass(frozen=True)
class QueryKeyValue(Layout):
    """One query group after another: its query heads, its key head, its value head."""

    def shard(self, full: Sequence[Tensor], config: ModelConfig, rank: int, size: int) -> Tensor:
        by_group = [matrix.view(config.groups, -1, *matrix.shape[1:]) for matrix in full]
        return torch.cat(by_group, 1).chunk(size)[rank].flatten(0, 1)

    def full(self, shards: Sequence[Tensor], config: ModelConfig) -> Sequence[Tensor]:
        fused = _cat(shards, 0)
        by_group = fused.view(config.groups, -1, *fused.shape[1:])
        key = config.heads // config.groups * config.head_dim
        value = key + config.head_dim
        parts = by_group[:, :key], by_group[:, key:value], by_group[:, value:]
        return [part.flatten(0, 1) for part in parts]


def padded_vocabulary(vocabulary: int, size: int) -> int:
    """The smallest multiple of `size` that holds the vocabulary."""
    return -(-vocabulary // size) * size


def _cat(tensors: Sequence[Tensor], dim: int) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), dim)


@dataclass(frozen=True)
class HFTensor:
    """A tensor of a Hugging Face checkpoint, with the axes that `ModelConfig.size` knows."""

    name: str
    axes: tuple[str, ...]

    def shape(self, config: ModelConfig) -> tuple[int, ...]:
        """Its shape in a model of these sizes."""
        return tuple(config.size(axis) for axis in self.axes)


def _always(_config: ModelConfig) -> bool:
    return True


@dataclass(frozen=True)
class Entry:
    """One Megatron parameter, or one of each layer, or one of each expert of each layer.

    "{layer}" in a name stands for the layer's number, "{expert}" for the expert's.
    """

    parameter: str
    tensors: tuple[HFTensor, ...]
    layout: Layout
    fused: str | None = None  # the parameter's name in layers of Transformer Engine
    when: Callable[[ModelConfig], bool] = _always  # whether a model has it
    layer: int | None = None  # the number of its layer, from 0; None: it is outside of layers
    expert: int | None = None  # the number of its expert, from 0; None: it is of no expert

    def in_layer(self, layer: int, config: ModelConfig) -> Iterator["Entry"]:
        """The entry with numbers in its names: one, or one for each expert of the layer."""
        if config.experts and "{expert}" in self.parameter:
            for expert in range(config.experts.count):
                yield self._numbered(layer, expert)
        else:
            yield self._numbered(layer, None)

    def _numbered(self, layer: int, expert: int | None) -> "Entry":
        def named(name: str) -> str:
            return name.format(layer=layer, expert=expert)

        return replace(
            self,
            parameter=named(self.parameter),
            tensors=tuple(HFTensor(named(t.name), t.axes) for t in self.tensors),
            fused=named(self.fused) if self.fused else None,
            layer=layer,
            expert=expert,
        )


@dataclass(frozen=True)
class Table:
    """All entries of a family: before the layers, of each layer, after them.

    A layer has the entries of `layer`, and those of `mlp` or of `experts`.
    """

    before: tuple[Entry, ...]
    layer: tuple[Entry, ...]
    mlp: tuple[Entry, ...]
    after: tuple[Entry, ...]
    experts: tuple[Entry, ...] = ()

    def entries(self, config: ModelConfig) -> Iterator[Entry]:
        """Every entry of a model of these sizes, in a fixed order."""
        for entry in self._all(config):
            if entry.when(config):
                yield entry

    def _all(self, config: ModelConfig) -> Iterator[Entry]:
        yield from self.before
        for number in range(config.layers):
            kind = self.experts if config.has_experts(number) else self.mlp
            for entry in self.layer + kind:
                yield from entry.in_layer(number, config)
        yield from self.after
