"""The policy as a megatron-core model: forward, optimizer step, weights out, checkpoints."""

from rljob_trainer import cpu

cpu.apply()  # before any module of this package imports megatron-core
