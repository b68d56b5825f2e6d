"""The policy as a megatron-core model: forward, optimizer step, weights out, checkpoints."""

import warnings

from rljob_trainer.megatron import cpu

# megatron-core's modules warn at length about missing optional packages and about each other's
# deprecated calls, which a user can't do anything about.
warnings.filterwarnings("ignore", module=r"megatron\.core")
warnings.filterwarnings("ignore", "Please use DTensor", FutureWarning)
cpu.apply()  # before any module of this package imports megatron-core
