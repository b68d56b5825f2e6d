"""A model family: everything that distinguishes it from others, in one object."""

from dataclasses import dataclass

from rljob_trainer.models.config import ConfigReader, ModelConfig, decoder_config
from rljob_trainer.models.table import Table


@dataclass(frozen=True)
class Architecture:
    """A family of dense decoders."""

    name: str  # as in `architectures` of config.json
    table: Table
    qk_norm: bool  # RMSNorm of queries and keys, head by head
    head_dim: int | None  # default if config.json has none; None: hidden size / heads

    def config(self, reader: ConfigReader) -> ModelConfig:
        """The sizes of one model of the family."""
        return decoder_config(reader, self.name, self.head_dim)
