"""What a role is told when it starts: one resolved job file and these variables, nothing else."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from rljob.api import RLJob
from rljob.errors import UsageError

_PREFIX = "RLJOB_"


@dataclass(frozen=True, kw_only=True)
class RoleEnvironment:
    """The environment variables of a role, RLJOB_ROLE and so on: each field is one of them."""

    role: str  # trainer, rollout, buffer or router
    replica: int = 0
    job_file: str  # the resolved RLJob as JSON, its paths absolute
    run_dir: str
    buffer_url: str  # redis://host:port/0
    buffer_password: str | None = None
    engine_api_key: str | None = None
    engine_admin_key: str | None = None
    metrics_port: int = 0  # 0: any free one
    router_port: int = 0
    host: str = "127.0.0.1"  # address under which the other roles reach this one
    rendezvous: str = ""  # host:port at which the trainer's pods meet
    termination_file: str | None = None  # where the reason of a failure is written

    def to_env(self) -> dict[str, str]:
        """The variables; what is None is left out."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            _PREFIX + name.upper(): str(value)
            for name, value in values.items()
            if value is not None
        }

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "RoleEnvironment":
        """Reads the variables.

        Raises:
            UsageError: one is missing or no number where one is wanted.
        """
        values: dict[str, str | int] = {}
        for field in fields(cls):
            variable = _PREFIX + field.name.upper()
            if variable not in environ:
                continue
            value = environ[variable]
            if field.type is int:
                if not value.isdigit():
                    raise UsageError(f"{variable}: found {value!r}; allowed: a whole number")
                values[field.name] = int(value)
            else:
                values[field.name] = value
        missing = {"role", "job_file", "run_dir", "buffer_url"} - values.keys()
        if missing:
            names = ", ".join(_PREFIX + name.upper() for name in sorted(missing))
            raise UsageError(f"{names}: not set; a role is started by `rljob run` or the operator")
        return cls(**values)  # type: ignore[arg-type]  # each value was read by its field's type

    def job(self) -> RLJob:
        """The resolved job."""
        return RLJob.model_validate_json(Path(self.job_file).read_bytes())
