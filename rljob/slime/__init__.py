"""What hooks written for slime see: its arguments, its Sample, and modules of its names.

slime (github.com/THUDM/slime) need not be installed. Names and meanings are those of its
`slime/utils/types.py`, `slime/utils/arguments.py` and `slime/rollout/sglang_rollout.py`.
"""
