"""When a job is restarted, ended and removed."""

from typing import Annotated, Literal

from pydantic import Field

from rljob.api.base import NonNegativeInt, Part, PositiveInt

ExitCode = Annotated[int, Field(ge=1, le=255)]


class FailureRule(Part):
    """What to do when a role ends with an exit code."""

    role: Literal["trainer", "rollout", "buffer", "router"] | None = Field(
        None, description="The role. Default: any."
    )
    exit_codes: list[ExitCode] = Field(min_length=1, max_length=255, description="Exit codes.")
    action: Literal["FailJob", "Restart", "Ignore"] = Field(description="What to do.")


class RunPolicySpec(Part):
    """Restarts, deadline and clean-up of a job."""

    backoff_limit: NonNegativeInt = Field(10, description="Restarts before the job fails.")
    active_deadline_seconds: PositiveInt | None = Field(
        None, description="Seconds the job may be active. Default: no limit."
    )
    clean_pods: Literal["Running", "All", "None"] = Field(
        "Running",
        description=(
            "Which pods are removed when the job ends. Those that stay are stopped, hold no GPU, "
            "and have their logs for `kubectl logs` until the job is deleted. `Running`: a failed "
            "job's pods stay if their container had failed; `All`: none stays; `None`: all stay."
        ),
    )
    ttl_seconds_after_finished: NonNegativeInt | None = Field(
        None, description="Seconds after which a finished job is deleted. Default: never."
    )
    failure: list[FailureRule] = Field(
        default_factory=list,
        max_length=32,
        description="Rules by exit code and role; the first match wins.",
    )
