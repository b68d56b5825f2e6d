"""The policy as a megatron-core model: forward, optimizer step, weights out, checkpoints."""

import warnings

from rljob_trainer import cpu

# Of optional packages that are not there, and of its own deprecated calls: nothing a user can act
# on, and many lines.
warnings.filterwarnings("ignore", module=r"megatron\.core")
cpu.apply()  # before any module of this package imports megatron-core
