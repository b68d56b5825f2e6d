"""Scheduling all or nothing."""

from typing import Literal

from pydantic import Field

from rljob.api.base import Part


class GangSpec(Part):
    """Who schedules the trainer and the least number of rollouts together."""

    scheduler: Literal["none", "volcano", "coscheduling", "kueue"] = Field(
        "none", description="Gang scheduler or queue."
    )
