"""The policy as a megatron-core model: forward, optimizer step, weights out, checkpoints."""

import warnings

from rljob_trainer import cpu

# They speak of optional packages that are not there and of each other's deprecated calls: nothing a
# user can act on, and many lines.
warnings.filterwarnings("ignore", module=r"megatron\.core")
warnings.filterwarnings("ignore", "Please use DTensor", FutureWarning)
cpu.apply()  # before any module of this package imports megatron-core
