"""How many groups may be under way at once: what bounds staleness and memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from rljob.api.schedule import ScheduleSpec


@dataclass(frozen=True)
class Admission:
    """AReaL's staleness control (arXiv 2505.24298, section 5.1), counted per published version.

    None is ever thrown away for being old, and slow prompts are trained on like fast ones: a group
    admitted under version v is trained on for the first time before version v + `max_staleness` + 1
    is published, whichever groups a buffer filter prefers, and whatever is trained on again. No
    token of it is older than its admission, so none passes the bound.

    The argument. Let V be the groups of a version's batches (`rollout_batch_size` x
    `update_weights_interval`), v the published version, and c the groups trained on since. Until
    version d + 1 is published there is room for slots(d) = (d + 1 - v) V - c groups. Let N(d) be
    the unused groups (open, not trained on yet) that were admitted under version
    d - `max_staleness` or before: they must be used while d is published, or earlier. At all times
    N(d) <= slots(d), for every d from v on:

    - Admission happens under v, so it changes N(d) from d = v + `max_staleness` on, where slots(d)
      is the window less c, or more; `capacity` keeps the unused groups within that.
    - A batch takes `rollout_batch_size` from slots(d). `due` is how many of those that N(d) counts
      must be in it for N(d) to be within slots(d) afterwards. They always fit: N(d) <= slots(d)
      before the batch, so no more are due than the batch has places; and as those that N(d) counts
      are among those that N(d + 1) counts, places taken by the first count for the second.
    - Publishing follows c = V: v grows by 1 and c falls by V, so slots(d) stays as it is; and
      slots(v) was 0 before it, so N(v) was 0: nothing unused has passed the bound.
    - A group that is dropped makes N smaller. A restart publishes the same version again and keeps
      c, or publishes the next one where it was due.

    And no run waits for ever: slots(v) is at least a batch whenever one is collected, so `capacity`
    always leaves room for as many different groups as a batch needs, and every one that is admitted
    is completed or dropped, in which case another is admitted.

    Args:
        rollout_batch_size: groups of a batch.
        max_staleness: versions by which a token may be old.
        update_weights_interval: batches between two versions.
        max_uses: batches in which a group may be.
        spare: groups that are not generated ahead, so that a filter can pass over as many: were the
            window full, all that was admitted first would be due first.
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
        """Most groups that are unused or were trained on since the last published version.

        Never are more groups open, used ones among them.
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
        """Groups that may be admitted now.

        So many that the uses of all open groups fill the window, or the rest of the run: beyond
        that a group would be generated for nothing. But as many different ones as a batch needs.

        Args:
            unused_groups: open, not trained on yet.
            used_groups: open, trained on, to be trained on again.
            uses_left: of all of these, together.
            uses_since_publish: groups trained on since the last published version, each as often
                as it was.
            still_needed: groups that the run still trains on, counted likewise.
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
        """How many unused groups the next batch must hold, by the version of their admission.

        Args:
            admitted: the versions under which the unused groups were admitted, growing.
            version: that is published.
            uses_since_publish: groups trained on since, each as often as it was.

        Returns:
            For each of these versions, growing: of the groups admitted under it or before, so many.
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
