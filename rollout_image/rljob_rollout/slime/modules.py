"""slime's modules in the processes of the rollout."""

from rljob.slime import modules
from rljob_rollout.slime.http import get, post
from rljob_rollout.slime.state import GenerateState


def install() -> None:
    """Makes them importable; before the user's module is imported."""
    modules.install(
        {
            "slime.utils.http_utils": {"post": post, "get": get},
            "slime.rollout.sglang_rollout": {"GenerateState": GenerateState},
        }
    )
