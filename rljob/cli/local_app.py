"""The roles of a job as processes of this machine, run by torchx's local scheduler."""

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torchx.runner import Runner
from torchx.schedulers.local_scheduler import create_scheduler
from torchx.specs import AppDef

from rljob.cli.device import CUDA_VISIBLE_DEVICES
from rljob.cli.full_disk import is_full
from rljob.cli.orphan import kill_children
from rljob.telemetry.lifeline import adopt_orphans

_SCHEDULER = "local_cwd"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Process(Protocol):
    """The part of subprocess.Popen that is used."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """The exit code; None while the process runs."""


@dataclass(frozen=True)
class Replica:
    """One process of a role."""

    role: str
    number: int
    process: Process

    def __str__(self) -> str:
        return f"{self.role}[{self.number}]"


class LocalApp:
    """Starts all roles of a plan and ends them. Main thread only."""

    def __init__(self, app: AppDef, *, logs: Path, gpus: Sequence[str]) -> None:
        """Prepare the roles; `start` starts them.

        Args:
            app: the plan; its replicas get the `gpus` in order.
            logs: new directory for the logs of this start.
            gpus: as CUDA_VISIBLE_DEVICES names them.
        """
        self._scheduler: Any = None
        self._runner = Runner(logs.name, {_SCHEDULER: self._create_scheduler})
        # Orphans of a role become children of this process, which can then kill them.
        adopt_orphans()
        self._request = self._runner.dryrun(app, _SCHEDULER, {"log_dir": str(logs.parent)})
        self._assign_gpus(app, list(gpus))
        for replicas in self._request.request.role_params.values():
            for parameters in replicas:
                # No combined log: on a full disk, the thread that writes it dies with a traceback.
                parameters.combined = None
        self._handle: str | None = None
        self.replicas: list[Replica] = []

    def start(self) -> None:
        """Start every role."""
        self._handle = self._runner.schedule(self._request)
        # torchx only reports the state of the whole app, which is running while any process runs.
        # Only the processes themselves tell which one has ended, and how.
        self.replicas = [
            Replica(role, replica.replica_id, replica.proc)
            for role in self._request.request.role_params
            for replica in self._replicas_of(role)
        ]

    def restart(self, replica: Replica) -> Replica:
        """Restart a replica that has ended, after killing its orphans; appends to its logs."""
        # An orphaned server would hold its port, an orphaned engine its memory.
        kill_children(besides={each.process.pid for each in self.replicas if each != replica})
        local = self._replicas_of(replica.role)[replica.number]
        parameters = self._request.request.role_params[replica.role][replica.number]
        # torchx can only start a whole app, and refuses to write to an existing log.
        with (
            Path(parameters.stdout).open("ab") as stdout,
            Path(parameters.stderr).open("ab") as stderr,
        ):
            local.proc = subprocess.Popen(
                parameters.args,
                env=self._scheduler._get_replica_env(parameters),
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                cwd=parameters.cwd,
            )
        started = Replica(replica.role, replica.number, local.proc)
        self.replicas[self.replicas.index(replica)] = started
        return started

    def stop(self) -> None:
        """Terminate every role, kill those still running after 10 s, and kill all orphans."""
        handle, self._handle = self._handle, None
        try:
            if handle is not None:
                self._runner.cancel(handle)
        except OSError as error:
            # torchx writes a file once all roles have ended, which fails on a full disk.
            if not is_full(error):
                raise
        finally:
            self.kill()
            kill_children()

    def kill(self) -> None:
        """Kill every role at once, so that `stop` returns soon. Safe in a signal handler."""
        for replica in self.replicas:
            if replica.process.returncode is None:
                try:
                    os.killpg(replica.process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue

    def _replicas_of(self, role: str) -> Any:
        return self._scheduler._apps[self._request.request.app_id].role_replicas[role]

    def _create_scheduler(self, session: str, **_: object) -> Any:
        """torchx's scheduler without its signal handlers, which would raise at any point."""
        handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        self._scheduler = create_scheduler(session)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        return self._scheduler

    def _assign_gpus(self, app: AppDef, gpus: list[str]) -> None:
        """Assign each replica its own GPUs, from those that this process may use."""
        for role in app.roles:
            for parameters in self._request.request.role_params[role.name]:
                own, gpus = gpus[: role.resource.gpu], gpus[role.resource.gpu :]
                parameters.env[CUDA_VISIBLE_DEVICES] = ",".join(own)
