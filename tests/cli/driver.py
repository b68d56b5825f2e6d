"""Runs small Python programs as the roles of a job, through all of `rljob run` but the manifest.

`python -m tests.cli.driver RUN_DIR PROGRAMS SCHEDULE`, PROGRAMS a JSON object of role to program
text, SCHEDULE one of changes to the job's schedule. Real roles need an engine and a model; how they
are started, watched and ended is the same for these.
"""

import json
import os
import sys
import time
from pathlib import Path

from rich.console import Console

from rljob.cli.execution import Execution
from rljob.cli.local_app import LocalApp
from rljob.cli.port import free_ports
from rljob.cli.run_directory import Attempt, RunDirectory
from rljob.plan.placement import LocalPlacement, Secrets
from rljob.plan.plan import plan
from rljob.plan.resolve import resolve
from tests.support.run_dir import job


def main() -> int:
    directory = RunDirectory(Path(sys.argv[1]))
    programs: dict[str, str] = json.loads(sys.argv[2])
    directory.lock()
    logs = directory.path / "logs" / str(os.getpid())
    logs.mkdir(parents=True)
    schedule: dict[str, int] = json.loads(sys.argv[3])
    resolved = resolve(job(**schedule), directory.path, directory.path)
    directory.job_file.write_text(resolved.model_dump_json(by_alias=True))
    buffer, metrics, router, rendezvous = free_ports("127.0.0.1", 4)
    placement = LocalPlacement(
        run_dir=str(directory.path),
        job_file=str(directory.job_file),
        reasons_dir=str(logs),
        host="127.0.0.1",
        buffer_port=buffer,
        metrics_port=metrics,
        router_port=router,
        rendezvous_port=rendezvous,
        secrets=Secrets("$ecret $${password}", "api-key", "admin-key"),
        python=sys.executable,
        python_path=os.environ.get("PYTHONPATH", ""),
        gpus=False,
        threads=1,
        supervisor=os.getpid(),
    )
    app = plan(resolved, placement)
    app.roles = [role for role in app.roles if role.name in programs]
    for role in app.roles:
        role.args = ["-c", programs[role.name].replace("$", "$$")]
    attempt = Attempt(os.getpid(), time.time(), str(logs), f"http://127.0.0.1:{metrics}/status")
    directory.write_attempt(attempt)
    directory.share()
    return Execution(
        LocalApp(app, logs=logs, gpus=[]), resolved, directory, attempt, Console(width=200)
    ).run()


if __name__ == "__main__":
    sys.exit(main())
