"""Rewards of single tokens."""

from jaxtyping import Float
from torch import Tensor


def token_rewards(
    rewards: Float[Tensor, " samples"],
    given: Float[Tensor, "samples tokens"],
    penalties: Float[Tensor, "samples tokens"],
    mask: Float[Tensor, "samples tokens"],
) -> Float[Tensor, "samples tokens"]:
    """What each token earns: its sample's reward at the last that is learned, less its penalty.

    Where the rollout says which tokens earn a part of the reward, they do, and the last one earns
    the rest.

    As for PPO from human feedback (arXiv 2203.02155, section 3.5) and for REINFORCE++ (arXiv
    2501.03262).

    Args:
        rewards: one per sample, of all its tokens together.
        given: the parts of them that single tokens earn, 0 elsewhere.
        penalties: of each token, for leaving the reference: the coefficient times the divergence.
        mask: above 0 for tokens that are learned. Others earn and pay nothing.
    """
    learned = mask > 0
    # The last is where no learned token comes after: the count from the right is 1.
    later = learned.flip(-1).cumsum(-1).flip(-1)
    last = learned & (later == 1)
    given = given.where(learned, 0)
    rest = rewards - given.sum(-1)
    return (given + rest[:, None] * last - penalties).where(learned, 0)
