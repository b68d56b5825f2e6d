"""How many groups may be under way at once: what bounds staleness and memory."""

from dataclasses import dataclass

from rljob.api.schedule import ScheduleSpec


@dataclass(frozen=True)
class Admission:
    """AReaL's staleness control (arXiv 2505.24298, section 5.1), counted per published version.

    Groups are consumed in the order of their admission. So a group admitted while fewer than
    `window` groups stand between it and the last published version is consumed at most
    `max_staleness` versions later, and none is ever thrown away for being old: slow prompts are
    trained on as often as fast ones.
    """

    rollout_batch_size: int
    max_staleness: int
    update_weights_interval: int

    @classmethod
    def of(cls, schedule: ScheduleSpec) -> "Admission":
        """The rule that a job's schedule asks for."""
        return cls(
            schedule.rollout_batch_size, schedule.max_staleness, schedule.update_weights_interval
        )

    @property
    def window(self) -> int:
        """Most groups that are open or consumed since the last published version."""
        return (1 + self.max_staleness) * self.rollout_batch_size * self.update_weights_interval

    def capacity(self, *, open_groups: int, consumed_since_publish: int, still_needed: int) -> int:
        """Groups that may be admitted now.

        `still_needed` is how many more groups the run will consume, less those open: beyond it
        a group would be generated for nothing.
        """
        return max(0, min(self.window - open_groups - consumed_since_publish, still_needed))
