"""The progress of a run: a live bar on a terminal, otherwise plain lines."""

import json
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from rljob.cli import words
from rljob.cli.log_file import Tail
from rljob.cli.trainer_status import StatusPoll
from rljob.telemetry import incident

_SHOWN_ANSWERS = 4

Record = dict[str, Any]


class Display(Protocol):
    """Shows the progress of a run."""

    def say(self, line: str) -> None:
        """Print a permanent line."""

    def status(self, status: Record | None) -> None:
        """Show the trainer's status; None before there is one."""

    def batch(self, record: Record) -> None:
        """Show a batch that was trained on."""

    def close(self) -> None:
        """Stop showing progress."""


class Lines:
    """One plain line per batch, for output that is not a terminal."""

    def __init__(self, console: Console, rollouts: int) -> None:
        self._console = console
        self._rollouts = rollouts
        self._status: Record | None = None
        self._phase = ""

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def status(self, status: Record | None) -> None:
        self._status = status
        phase = words.phase(status)
        if phase != self._phase and phase.startswith(("starting", "running: ")):
            self.say(phase)
        self._phase = phase

    def batch(self, record: Record) -> None:
        self.say(words.batch(record, self._rollouts, self._status))

    def close(self) -> None:
        """Nothing to do: the lines are already printed."""


class Bar:
    """A live bar at the bottom of the terminal; lines scroll above it."""

    def __init__(self, console: Console, rollouts: int, evaluations: int) -> None:
        """A job without a batch to train on is done when its data sets are evaluated."""
        self._console = console
        self._rollouts = rollouts
        self._total = rollouts or evaluations
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(self._render(None), console=console, refresh_per_second=8)
        self._live.start()

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def status(self, status: Record | None) -> None:
        self._live.update(self._render(status))

    def batch(self, record: Record) -> None:
        """Nothing to do: the bar shows it."""

    def close(self) -> None:
        self._live.stop()

    def _render(self, status: Record | None) -> RenderableType:
        known = status or {}
        done = (known.get("rollout") if self._rollouts else len(known.get("evaluations", []))) or 0
        bar = Table.grid(padding=(0, 1), expand=True)
        bar.add_column(width=1)
        bar.add_column(no_wrap=True)
        bar.add_column(ratio=1)
        bar.add_column(no_wrap=True)
        bar.add_row(
            self._spinner,
            Text(words.phase(status), style="bold"),
            ProgressBar(total=self._total, completed=done),
            Text(f"{done}/{self._total}  eta {words.duration(known.get('eta_seconds'))}"),
        )
        return Group(bar, self._numbers(known))

    def _numbers(self, status: Record) -> RenderableType:
        numbers = _of_answers(status) if "token_accuracy" in status else _of_samples(status)
        line = Text("  ", no_wrap=True, overflow="ellipsis")
        for name, value in numbers:
            line.append(f"{name} ", style="dim")
            line.append(f"{value}  ", style="cyan")
        return line


class Progress:
    """Shows the trainer's status and the records it writes on a display."""

    def __init__(self, display: Display, run_dir: Path, status_url: str, began: float) -> None:
        """
        Args:
            display: where progress is shown.
            run_dir: the run directory, where the trainer writes its records.
            status_url: the trainer's /status.
            began: unix seconds; older records are from earlier starts, and are not shown.
        """
        self.has_worked = False  # an engine has held weights, or a batch was trained on
        self.trained = 0  # batches
        self._display = display
        self._began = began
        self._poll = StatusPoll(status_url)
        self._metrics = Tail(run_dir / "metrics.jsonl")
        self._evaluations = Tail(run_dir / "evaluations.jsonl")
        self._incidents = Tail(run_dir / incident.FILE_NAME)

    def look(self) -> None:
        """Show what is new since the last call."""
        status = self._poll.latest
        if status is not None:
            self.has_worked = self.has_worked or bool(status.get("engines"))
            self.trained = max(self.trained, status.get("rollout") or 0)
        self._display.status(status)
        self._show_new()

    def _show_new(self) -> None:
        for line in self._incidents.lines():
            new = incident.parse(line)
            if new is not None and new.time >= self._began:
                self._display.say(new.message)
        for record in self._new(self._metrics):
            # A busy trainer answers late: a batch may be on record before /status tells of it.
            self.has_worked = True
            self.trained = max(self.trained, record.get("rollout") or 0)
            self._display.batch(record)
        for record in self._new(self._evaluations):
            for line in words.evaluation(record, _SHOWN_ANSWERS):
                self._display.say(line)

    def stopping(self) -> None:
        """Show that the roles are being stopped."""
        self._display.status({**(self._poll.latest or {}), "phase": "stopping", "message": ""})

    def close(self) -> None:
        """Show the last records, and close the display."""
        self._poll.close()
        self._show_new()
        self._display.close()

    def _new(self, tail: Tail) -> list[Record]:
        records = []
        for line in tail.lines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and record.get("time", 0) >= self._began:
                records.append(record)
        return records


def display(console: Console, rollouts: int, evaluations: int) -> Display:
    """A bar on a terminal, otherwise lines.

    Args:
        console: where to show it.
        rollouts: batches to train on.
        evaluations: data sets.
    """
    return Bar(console, rollouts, evaluations) if console.is_terminal else Lines(console, rollouts)


def _of_samples(status: Record) -> list[tuple[str, str]]:
    """What the bar shows of a job whose samples are generated."""
    groups = "/".join(words.number(status.get(name), 0) for name in ("waiting", "leased", "ready"))
    return [
        ("reward", words.number(status.get("reward"), 3)),
        ("length", words.number(status.get("response_length"), 1)),
        ("samples/s", words.number(status.get("samples_per_second"), 1)),
        ("tokens/s", words.number(status.get("tokens_per_second"), 0)),
        ("version", words.number(status.get("weight_version"), 0)),
        ("staleness", words.number(status.get("staleness_max"), 0)),
        ("engines", words.number(status.get("engines"), 0)),
        ("waiting/leased/ready", groups),
    ]


def _of_answers(status: Record) -> list[tuple[str, str]]:
    """What it shows of a job that learns answers from its data."""
    return [
        ("loss", words.number(status.get("loss"), 4)),
        ("accuracy", words.number(status.get("token_accuracy"), 3)),
        ("length", words.number(status.get("response_length"), 1)),
        ("samples/s", words.number(status.get("samples_per_second"), 1)),
        ("tokens/s", words.number(status.get("tokens_per_second"), 0)),
    ]
