"""A model family: everything that distinguishes it from others, in one object."""

from collections.abc import Callable
from dataclasses import dataclass

from rljob_trainer.models.config import ModelConfig
from rljob_trainer.models.config_reader import ConfigReader
from rljob_trainer.models.table import Table


@dataclass(frozen=True)
class Architecture:
    """A family of decoders."""

    name: str  # as in `architectures` of config.json
    config: Callable[[ConfigReader], ModelConfig]  # reads the sizes of one model of the family
    table: Table
    rotary_interleaved: bool = False  # rotates neighbours, not a dimension of each half
    output_norms: bool = False  # RMSNorm of what attention and MLP add to the residual stream
