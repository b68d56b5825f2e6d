"""Restart policy: which roles are restarted after a failure, when, and how often."""

from rljob.api.run_policy import RunPolicySpec
from rljob.errors import EXIT_USAGE

TRAINER = "trainer"
_FIRST_DELAY_SECONDS = 1.0
_LAST_DELAY_SECONDS = 60.0


class Restarts:
    """Counts failures like the operator: those since training last made new progress.

    Rollout, router and buffer are restarted, because the ledger can rebuild what they lose. The
    trainer is not, unless a rule of `spec.runPolicy.failure` says so: running the same command
    again resumes from its checkpoint.
    """

    def __init__(self, policy: RunPolicySpec) -> None:
        self._policy = policy
        self._trained = -1
        self._failures = 0

    @property
    def count(self) -> str:
        """The number of failures and the limit, in words."""
        return f"restart {self._failures} of at most {self._policy.backoff_limit}"

    def delay(self, role: str, code: int, *, trained: int, has_worked: bool) -> float | None:
        """Seconds to wait before a failed replica is restarted; None: the run has failed.

        Args:
            role: role of the replica.
            code: its exit code, not 0; negative: minus the signal that killed it.
            trained: batches that the run has trained on.
            has_worked: whether an engine has held weights, or a batch was trained on, since
                `rljob run` began. Before that, a failure is most likely a mistake in the manifest
                or the machine's setup, and would repeat.
        """
        if trained > self._trained:
            self._trained, self._failures = trained, 0
        action = self._action(role, code, has_worked=has_worked)
        if action == "FailJob":
            return None
        if action == "Restart":
            self._failures += 1
        if self._failures > self._policy.backoff_limit:
            return None
        delay = _FIRST_DELAY_SECONDS * 2.0 ** max(0, self._failures - 1)
        return float(min(delay, _LAST_DELAY_SECONDS))

    def _action(self, role: str, code: int, *, has_worked: bool) -> str:
        if code == EXIT_USAGE:
            return "FailJob"
        for rule in self._policy.failure:
            # Exit codes in Kubernetes, as in a shell, are 128 + n for signal n.
            if rule.role in (None, role) and (code if code > 0 else 128 - code) in rule.exit_codes:
                return rule.action
        if role == TRAINER or (code > 0 and not has_worked):
            return "FailJob"
        return "Restart"
