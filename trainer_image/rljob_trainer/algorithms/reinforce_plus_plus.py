"""Returns of REINFORCE++ (arXiv 2501.03262)."""

from jaxtyping import Float
from torch import Tensor


def penalized_returns(
    reward: float, penalties: Float[Tensor, " response"], mask: Float[Tensor, " response"]
) -> Float[Tensor, " response"]:
    """The return of each token: what it and all later tokens of the response earn, undiscounted.

    Every token that is learned pays its penalty, and the last one earns the reward.

    Args:
        reward: of the whole sample.
        penalties: of each token, for leaving the reference: the coefficient times the divergence.
        mask: above 0 for tokens that are learned. A token that is not pays nothing.
    """
    paid = penalties.where(mask > 0, 0)
    return reward - paid.flip(-1).cumsum(-1).flip(-1)
