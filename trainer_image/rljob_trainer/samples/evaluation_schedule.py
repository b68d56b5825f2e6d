"""When which data set is evaluated."""

from rljob.api import RLJobSpec


class EvaluationSchedule:
    """Each data set before the first batch, at its interval, and after the last batch.

    A data set is evaluated once at a batch, also if the run stops and resumes there.
    """

    def __init__(self, job: RLJobSpec) -> None:
        """Nothing has been evaluated."""
        self._intervals = {
            evaluation.name: evaluation.interval or job.schedule.eval_interval
            for evaluation in job.evaluation
        }
        self._done_at: dict[str, int] = {}

    def due(self, rollout: int, *, is_done: bool) -> list[str]:
        """The data sets to evaluate now, in the order of the job.

        Args:
            rollout: batches trained on.
            is_done: whether there will be no other.
        """
        return [
            name
            for name, interval in self._intervals.items()
            if (is_done or rollout == 0 or (interval is not None and rollout % interval == 0))
            and self._done_at.get(name) != rollout
        ]

    def evaluated(self, name: str, rollout: int) -> None:
        """Remembers that a data set was evaluated after `rollout` batches."""
        self._done_at[name] = rollout

    def save(self) -> dict[str, int]:
        """What `load` continues from."""
        return self._done_at

    def load(self, saved: dict[str, int] | int) -> None:
        """Continues from a checkpoint.

        Earlier versions evaluated all data sets together, and saved one number.
        """
        if isinstance(saved, int):
            saved = dict.fromkeys(self._intervals, saved)
        self._done_at = dict(saved)
