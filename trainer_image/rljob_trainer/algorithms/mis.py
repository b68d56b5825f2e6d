"""Masked importance sampling: leaves tokens or whole responses out."""

from jaxtyping import Bool, Float
from torch import Tensor

from rljob_trainer.algorithms.icepop import icepop_weights


def mis_weights(
    log_ratio: Float[Tensor, "*tokens"], *, cap: float, floor: float = 0.0
) -> tuple[Float[Tensor, "*tokens"], Bool[Tensor, "*tokens"]]:
    """The ratio trainer's probability / engine's probability, or 0 outside of [floor, cap].

    J. Liu, Y. Li et al., "When Speed Kills Stability: Demystifying RL Collapse from the
    Training-Inference Mismatch", https://yingru.notion.site/When-Speed-Kills-Stability; the mode
    "mask" of slime's examples/train_infer_mismatch_helper/mis.py. There, the ratio of a response is
    the product of those of its tokens, and a response beyond the bounds is left out as a whole.

    For single tokens this is IcePop. What is left out still counts in the divisor of the loss, as
    in the formula of the source; slime and verl divide by what remains.

    Args:
        log_ratio: the trainer's log-probability before the steps of this batch, minus the engine's
            while it generated; of a token, or of its whole response (`response_log_ratio`).
        cap, floor: bounds of a ratio that counts; both are within.

    Returns:
        Weights to multiply the policy loss by, without a gradient; and which tokens are left out.
    """
    return icepop_weights(log_ratio, cap=cap, floor=floor)
