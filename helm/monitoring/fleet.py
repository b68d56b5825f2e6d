"""The dashboard of all jobs."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from helm.monitoring.panels import Query, board, lines, number, row, rows, variable

_OF = '{namespace=~"$namespace"}'
_JOB = "{{namespace}}/{{job}}"


def _each(name: str) -> list[Query]:
    """The series of every job."""
    return [Query(f"max by (namespace, job) (rljob_{name}{_OF})", _JOB)]


def fleet() -> Dashboard:
    """Phases, one row for each running job, and the jobs' most important series together."""
    made = board(
        "RLJob: fleet", "rljob-fleet", "All jobs: which run, which need a look."
    ).with_variable(
        variable(
            "namespace", "Namespace", "label_values(rljob_build_info, namespace)", several=True
        )
    )
    for part in (_summary, _jobs, _series):
        made = part(made)
    return made


def _summary(made: Dashboard) -> Dashboard:
    return (
        made.with_panel(
            number(
                "Running",
                'max(rljob_operator_jobs{phase="Running"}) or vector(0)',
                description="Jobs in the phase Running, in all namespaces of the operator.",
                width=6,
            )
        )
        .with_panel(
            number(
                "Alerts",
                'count(ALERTS{alertname=~"RLJob.*",alertstate="firing"}) or vector(0)',
                description="Alerts that fire, of all jobs and of the operator.",
                width=6,
            )
        )
        .with_panel(
            number(
                "Engines",
                f"sum(rljob_rollout_engine_ready{_OF})",
                description="Engines that generate.",
                width=6,
            )
        )
        .with_panel(
            number(
                "Tokens generated per second",
                f"sum(namespace_job:rljob_rollout_tokens:rate5m{_OF})",
                description="Over five minutes.",
                width=6,
            )
        )
    )


def _jobs(made: Dashboard) -> Dashboard:
    age = f"time() - max by (namespace, job) (rljob_%s_timestamp_seconds{_OF})"
    return made.with_panel(
        rows(
            "Running jobs",
            {
                "Progress": f"max by (namespace, job) (rljob_job_progress_ratio{_OF})",
                "Reward": f"max by (namespace, job) (rljob_job_reward{_OF})",
                "Weight version": f"max by (namespace, job) (rljob_job_weight_version{_OF})",
                "Seconds since a batch": age % "batch",
                "Seconds since a checkpoint": age % "checkpoint",
                "Engines": f"max by (namespace, job) (rljob_engines{_OF})",
                "Trainer starts": f"max by (namespace, job) (rljob_incarnation{_OF})",
            },
            description="Progress, reward and version are the operator's, the rest the trainer's.",
        )
    )


def _series(made: Dashboard) -> Dashboard:
    return (
        made.with_row(row("Over time"))
        .with_panel(
            lines(
                "Jobs by phase",
                [Query("max by (phase) (rljob_operator_jobs)", "{{phase}}")],
                low=0,
                description="In all namespaces of the operator.",
            )
        )
        .with_panel(lines("Reward", _each("reward_mean"), description="Mean of the last batch."))
        .with_panel(
            lines(
                "Tokens generated per second",
                [Query(f"namespace_job:rljob_rollout_tokens:rate5m{_OF}", _JOB)],
                low=0,
                description="Over five minutes.",
            )
        )
        .with_panel(
            lines(
                "Trainer waits",
                _each("wait_ratio"),
                unit="percentunit",
                low=0,
                high=1,
                description="Share of the last batches' time; more engines would help.",
            )
        )
        .with_panel(
            lines(
                "Engines wait",
                _each("held_ratio"),
                unit="percentunit",
                low=0,
                high=1,
                description="Share of the engines' time; fewer of them would do.",
            )
        )
        .with_panel(
            lines(
                "Time of a batch",
                [Query(f"namespace_job:rljob_time_batch_seconds:avg1h{_OF}", _JOB)],
                unit="s",
                low=0,
                description="Mean over an hour.",
            )
        )
    )
