"""What a job itself says about its pods, apart from what the operator adds.

A new version of the operator, or other defaults of it, would make other pods of the same inputs.
"""

from functools import cache
from pathlib import Path

from rljob import __version__
from rljob.api import RLJob
from rljob.api.change import Effect
from rljob_operator.children.wanted import digest
from rljob_operator.observed import Cluster

# All that a role is told of has these effects; see rljob.api.change.
EFFECTS: dict[str, tuple[Effect, ...]] = {
    "trainer": ("trainer", "all", "immutable"),
    "rollout": ("rollout", "all", "immutable"),
    "router": ("all", "immutable"),
    "buffer": ("all", "immutable"),
    "job": ("rollout", "trainer", "all", "immutable"),
}


def own(job: RLJob, role: str) -> list[object]:
    """The fields of which only the pods of router or buffer are made."""
    spec = job.spec
    if role == "router":
        router = spec.rollout.router.model_dump(mode="json", exclude_defaults=True)
        return [spec.rollout.image, router]
    if role == "buffer":
        buffer = spec.buffer.model_dump(mode="json", exclude_defaults=True)
        return [spec.trainer.image, buffer]
    return []


def made_by(cluster: Cluster) -> str:
    """A name for what this operator adds: its version, with a hash of its code and defaults."""
    return f"{__version__}-{digest([_code(), dict(cluster.images)])[:8]}"


@cache
def _code() -> str:
    files = sorted(Path(__file__).parent.glob("*.py"))
    return digest([each.read_text() for each in files])
