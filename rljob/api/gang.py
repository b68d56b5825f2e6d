"""Gang scheduling."""

from typing import Literal

from pydantic import Field

from rljob.api.base import Part


class GangSpec(Part):
    """All-or-nothing scheduling of the trainer and the minimum number of rollout pods."""

    scheduler: Literal["none", "volcano", "coscheduling", "kueue"] = Field(
        "none", description="Gang scheduler or queue."
    )
