"""Whose run a run directory holds. On Kubernetes its claim outlives the job that made it."""

import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path

import structlog

from rljob.api import RLJob
from rljob.api.same_run import SPEC_FIXED, forbidden_changes
from rljob.errors import UsageError
from rljob.ledger.begun import has_begun
from rljob.plan.environment import RoleEnvironment
from rljob.telemetry.incident import Incidents
from rljob.telemetry.outcome import is_finished

log = structlog.get_logger()

_OWNER = "owner.json"
_JOB = "job.json"
_NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True)
class Owner:
    """The job that a run directory belongs to.

    Args:
        uid: the job's uid in the cluster; a job that is deleted and applied again has another one.
        job: namespace/name.
    """

    uid: str
    job: str


def take(environment: RoleEnvironment, job: RLJob) -> str:
    """Makes the run directory this job's, and keeps the job in it, where the command line reads it.

    Returns:
        What a user should know: whose run goes on here. Empty if it is the job's own.

    Raises:
        UsageError: the directory can't be written, or holds the run of another job that may not or
            can't go on as this one.
    """
    if environment.job_uid is None:  # `rljob run` has looked after it
        return ""
    run_dir = Path(environment.run_dir)
    owner = _read(run_dir)
    new = Owner(environment.job_uid, str(job.key))
    said = ""
    if owner != new and has_begun(run_dir):
        said = _reuse(run_dir, owner, job, chosen=environment.claim_chosen)
        log.warning("run.reused", message=said)
        Incidents(run_dir).add("run.reused", said)
    _write(run_dir, _JOB, Path(environment.job_file).read_text())
    _write(run_dir, _OWNER, json.dumps({"uid": new.uid, "job": new.job}))
    return said


def _reuse(run_dir: Path, owner: Owner | None, job: RLJob, *, chosen: bool) -> str:
    # Without an owner it was copied here from a laptop.
    found = f"the run of job {owner.job} (uid {owner.uid})" if owner is not None else "a run"
    if not chosen:
        raise UsageError(
            f"the run volume holds {found}. To go on with that run, name the claim in "
            "storage.run.claimName; to begin a new one, delete the claim or give the job another "
            "name"
        )
    if is_finished(run_dir, job.spec.schedule):
        raise UsageError(
            f"storage.run.claimName: the volume holds {found}, which has finished; raise "
            "schedule.rollouts to go on with it, or name another claim"
        )
    try:
        before = RLJob.model_validate_json((run_dir / _JOB).read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{run_dir / _JOB}: not a job of this version: {error}") from error
    changes = forbidden_changes(before, job, SPEC_FIXED)
    if changes:
        listed = "\n".join(f"  {change}" for change in changes)
        raise UsageError(
            f"storage.run.claimName: the volume holds {found}, and this job can't go on with it; "
            f"name another claim, or undo these changes:\n{listed}"
        )
    return f"the volume of storage.run.claimName holds {found}; it goes on"


def _read(run_dir: Path) -> Owner | None:
    try:
        values = json.loads((run_dir / _OWNER).read_bytes())
        return Owner(str(values["uid"]), str(values["job"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(run_dir: Path, name: str, text: str) -> None:
    partial = run_dir / f"{name}.partial"
    try:
        partial.write_text(text)
        partial.replace(run_dir / name)
    except OSError as error:
        if error.errno not in _NO_RIGHT:
            raise
        raise UsageError(_not_writable(run_dir, error)) from error


def _not_writable(run_dir: Path, error: OSError) -> str:
    status = run_dir.stat()
    return (
        f"run directory {run_dir}: {error.strerror} for uid {os.getuid()} with groups "
        f"{sorted({os.getgid(), *os.getgroups()})}; the volume belongs to uid {status.st_uid}, gid "
        f"{status.st_gid}, mode {status.st_mode & 0o7777:04o}. Kubernetes changes that to the "
        "pods' fsGroup (65532) where the volume's driver supports it; NFS and hostPath need "
        "`chown 65532:65532` on the server, or another user in trainer.template"
    )
