"""Limits how many groups are open at once, which bounds staleness and memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from rljob.api.schedule import ScheduleSpec


@dataclass(frozen=True)
class Admission:
    """AReaL's staleness control (arXiv 2505.24298, section 5.1), counted per published version.

    No group is discarded for being stale, and slow prompts are trained on like fast ones: a group
    admitted under version v is trained on for the first time before version v + `max_staleness` + 1
    is published, whatever a buffer filter prefers and however often other groups are reused. Its
    tokens are generated after its admission, so none of them exceeds the bound.

    The argument. Let V be the number of groups trained on per version (`rollout_batch_size` x
    `update_weights_interval`), v the published version, and c the number of groups trained on since
    it was published. Until version d + 1 is published there is room for slots(d) =
    (d + 1 - v) V - c groups. Let N(d) be the number of unused groups (open, not trained on yet)
    that were admitted under version d - `max_staleness` or earlier: they must be used before
    version d + 1 is published. The invariant is N(d) <= slots(d), for every d from v on:

    - Admission happens under v, so it changes N(d) only from d = v + `max_staleness` on, where
      slots(d) is at least the window minus c; `capacity` keeps the unused groups within that.
    - A batch takes `rollout_batch_size` from slots(d). `due` is how many of the groups that N(d)
      counts must be in it so that N(d) <= slots(d) still holds afterwards. They always fit:
      N(d) <= slots(d) before the batch, so no more are due than the batch has places; and groups
      that N(d) counts are also counted by N(d + 1), so a place taken for the first serves both.
    - A version is published when c = V: v grows by 1 and c falls by V, so slots(d) is unchanged.
      slots(v) was 0 before that, so N(v) was 0: no unused group has passed the bound.
    - Dropping a group makes N smaller. A restart publishes the same version again and keeps c, or
      publishes the next version if that was due.

    The run never waits forever, either: slots(v) is at least a batch whenever one is collected, so
    `capacity` always leaves room for as many different groups as a batch needs, and every admitted
    group is completed or dropped, in which case another is admitted.

    Args:
        rollout_batch_size: groups per batch.
        max_staleness: how many versions old a token may be.
        update_weights_interval: batches between two published versions.
        max_uses: the most batches that a group may be part of.
        spare: how many groups fewer to generate ahead, so that a filter can pass over that many: if
            the window were full, all groups admitted first would be due first.
    """

    rollout_batch_size: int
    max_staleness: int
    update_weights_interval: int
    max_uses: int = 1
    spare: int = 0

    @classmethod
    def of(cls, schedule: ScheduleSpec, *, is_filtered: bool) -> "Admission":
        """The rule that a job's schedule asks for, with a buffer filter or without."""
        return cls(
            schedule.rollout_batch_size,
            schedule.max_staleness,
            schedule.update_weights_interval,
            schedule.max_uses,
            spare=schedule.rollout_batch_size if is_filtered else 0,
        )

    @property
    def window(self) -> int:
        """The most groups that may be unused, or trained on since the last published version.

        The number of open groups, including used ones, never exceeds it.
        """
        return (1 + self.max_staleness) * self._per_version

    def capacity(
        self,
        *,
        unused_groups: int,
        used_groups: int,
        uses_left: int,
        uses_since_publish: int,
        still_needed: int,
    ) -> int:
        """How many groups may be admitted now.

        Enough for the uses of all open groups to fill the window, or the rest of the run: any more
        would be generated for nothing. But always as many different groups as a batch needs.

        Args:
            unused_groups: open groups that were not trained on yet.
            used_groups: open groups that were trained on and will be again.
            uses_left: the uses left of all these groups together.
            uses_since_publish: groups trained on since the last published version, counted once
                per use.
            still_needed: groups that the run will still train on, counted the same way.
        """
        bound = self.window - unused_groups - uses_since_publish
        ahead = min(
            (self.window - uses_since_publish - uses_left) // self.max_uses,
            bound - self.spare,
            -((uses_left - still_needed) // self.max_uses),  # rounded up
        )
        fills_batch = min(self.rollout_batch_size, still_needed) - unused_groups - used_groups
        return max(0, min(bound, max(ahead, fills_batch)))

    def due(
        self, admitted: Sequence[int], *, version: int, uses_since_publish: int
    ) -> dict[int, int]:
        """How many unused groups the next batch must contain, by the version of their admission.

        Args:
            admitted: the versions under which the unused groups were admitted, ascending.
            version: the published version.
            uses_since_publish: groups trained on since then, counted once per use.

        Returns:
            For each of these versions, ascending: how many of the groups admitted under it or
            earlier the batch must contain.
        """
        due = {}
        for count, admitted_under in enumerate(admitted, start=1):
            versions = admitted_under + self.max_staleness + 1 - version
            slots = versions * self._per_version - uses_since_publish
            due[admitted_under] = max(0, count + self.rollout_batch_size - slots)
        return due

    @property
    def _per_version(self) -> int:
        return self.rollout_batch_size * self.update_weights_interval
