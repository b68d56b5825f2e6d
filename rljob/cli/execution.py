"""The part of `rljob run` from the start of the roles to the report."""

import shlex
import signal
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from rljob.api import RLJob
from rljob.cli import full_disk, words
from rljob.cli.failure import Failure, write_failure
from rljob.cli.interruption import Interruption
from rljob.cli.local_app import LocalApp, Replica
from rljob.cli.log_file import last_lines
from rljob.cli.progress import Progress, display
from rljob.cli.restart import Restarts
from rljob.cli.run_directory import Attempt, RunDirectory
from rljob.cli.supervisor import Ending, Supervisor
from rljob.errors import EXIT_USAGE
from rljob.report.page import write_report
from rljob.report.record import read_records
from rljob.telemetry.incident import Incidents
from rljob.telemetry.outcome import is_finished, read_summary

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_LAST_LINES = 20
_RESULTS = ("metrics", "evaluations")
_HEADLINES = ("reward", "loss")  # of samples that were generated, and of answers from the data


class Execution:
    """Starts the roles, shows their progress, and always stops them at the end."""

    def __init__(
        self,
        app: LocalApp,
        job: RLJob,
        directory: RunDirectory,
        attempt: Attempt,
        console: Console,
    ) -> None:
        self._app = app
        self._job = job
        self._directory = directory
        self._attempt = attempt
        self._display = display(console, job.spec.schedule.rollouts, len(job.spec.evaluation))
        self._restarts = Restarts(job.spec.run_policy)
        self._incidents = Incidents(directory.path)
        self._progress = Progress(self._display, directory.path, attempt.status_url, attempt.began)

    def run(self) -> int:
        """Run the roles to the end, and return the exit code."""
        interruption = Interruption()
        interruption.listen(at_second=self._app.kill)
        progress = self._progress
        self._display.say(f"run directory: {self._directory.path}")
        try:
            self._app.start()
            ending = Supervisor(self._app.replicas, interruption, progress.look, self).watch()
            self._tell(ending)
            progress.stopping()
        finally:
            self._app.stop()
            progress.close()
        code = self._conclude(ending)
        self._report()
        return code

    def delay(self, replica: Replica, code: int) -> float | None:
        """Seconds until a failed replica is restarted; None: the run has failed."""
        self._progress.look()  # what was trained up to now decides
        delay = self._restarts.delay(
            replica.role,
            code,
            trained=self._progress.trained,
            has_worked=self._progress.has_worked,
        )
        if delay is not None:
            reason = (self._reason(replica).splitlines() or [""])[0]
            said = f"{replica} {_way(code)}{': ' if reason else ''}{reason}"
            self._incidents.add("role.failed", f"{said}; restarting it ({self._restarts.count})")
        return delay

    def restart(self, replica: Replica) -> Replica:
        """Restart a replica; the reason of its last failure is removed first."""
        self._reason_file(replica).unlink(missing_ok=True)
        return self._app.restart(replica)

    def _report(self) -> None:
        """Write the report, if the run has results."""
        path = self._directory.path
        if not any(read_records(path / f"{name}.jsonl").records for name in _RESULTS):
            return
        try:
            self._display.say(f"report: {write_report(path)}")
        except OSError as error:
            if not full_disk.is_full(error):
                raise
            self._display.say(f"no report: {full_disk.advice(path)}")

    def _tell(self, ending: Ending) -> None:
        """Print the reason of the end before the roles are stopped, which takes a while."""
        if ending.kind == "interrupted":
            self._display.say("stopping every role; interrupt again to kill them ...")
        replica = ending.replica
        if replica is None:
            return
        reason = self._reason(replica)
        if ending.code == EXIT_USAGE and reason:
            self._fail(reason, EXIT_USAGE)
            self._display.say(reason)
            return
        logs = Path(self._attempt.logs)
        lines = last_lines(logs, replica.role, replica.number, _LAST_LINES)
        told = f"{replica} {_way(ending.code)}"
        if full_disk.tells_of_full_disk([*lines, reason]) or full_disk.has_no_space(
            self._directory.path
        ):
            told += f": {full_disk.advice(self._directory.path)}"
            self._fail(told, 1)
            self._display.say(told)
            return
        self._fail(f"{told}{': ' if reason else ''}{reason}", 1)
        self._display.say(f"{told}. Its last lines:")
        for line in lines:
            self._display.say(f"    {line}")
        self._display.say(f"More: rljob logs {self._directory.path} {replica.role}")

    def _fail(self, message: str, code: int) -> None:
        write_failure(self._directory.path, Failure(message, code))

    def _conclude(self, ending: Ending) -> int:
        if ending.kind == "failed":
            return EXIT_USAGE if ending.code == EXIT_USAGE else 1
        if ending.kind == "interrupted":
            self._display.say(f"stopped; resume with: {_command()}")
            return EXIT_INTERRUPTED
        if not is_finished(self._directory.path, self._job.spec.schedule):
            said = "trainer ended before the run was finished; see `rljob logs`"
            self._fail(said, 1)
            self._display.say(said)
            return 1
        summary = read_summary(self._directory.path)
        trained = self._job.spec.schedule.trains
        self._display.say(_outcome(summary) if trained else _scores(summary))
        return 0

    def _reason(self, replica: Replica) -> str:
        try:
            return self._reason_file(replica).read_text(errors="replace").strip()
        except OSError:
            return ""

    def _reason_file(self, replica: Replica) -> Path:
        return Path(self._attempt.logs) / f"{replica.role}-{replica.number}"


def _way(code: int) -> str:
    """How a process ended, in words, from its return code in subprocess."""
    if code == 0:
        return "ended before the run was finished"
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"failed with exit code {code}"


def _outcome(summary: dict[str, object]) -> str:
    parts = [
        f"finished {summary.get('rollouts')} rollouts in {words.duration(summary.get('seconds'))}",
    ]
    parts += [
        f"{name} {words.number(summary[f'{name}_first5'], 3)} -> "
        f"{words.number(summary[f'{name}_last5'], 3)}"
        for name in _HEADLINES
        if f"{name}_first5" in summary
    ]
    evaluations = summary.get("evaluations")
    for name, values in (evaluations if isinstance(evaluations, dict) else {}).items():
        parts.append(
            f"{words.text(name)} {words.number(values.get('before'), 3)} -> "
            f"{words.number(values.get('after'), 3)}"
        )
    return ", ".join(parts)


def _scores(summary: dict[str, Any]) -> str:
    """The outcome of a job that only evaluates."""
    scores = [
        f"{words.text(name)} {words.number(values.get('after'), 3)}"
        for name, values in summary.get("evaluations", {}).items()
    ]
    return f"evaluated in {words.duration(summary.get('seconds'))}: {', '.join(scores)}"


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
