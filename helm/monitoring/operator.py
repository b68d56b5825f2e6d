"""The dashboard of the operator."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from helm.monitoring.panels import Query, board, lines, row, variable

_OF = '{namespace="$namespace"}'


def operator() -> Dashboard:
    """Its passes over jobs, their errors, its queue, its requests, who leads."""
    made = board(
        "RLJob: operator", "rljob-operator", "Whether the operator keeps up, and what fails."
    ).with_variable(
        variable("namespace", "Namespace", "label_values(rljob_operator_leading, namespace)")
    )
    return _requests(_passes(made))


def _passes(made: Dashboard) -> Dashboard:
    return (
        made.with_row(row("Jobs"))
        .with_panel(
            lines(
                "Jobs by phase",
                [Query(f"max by (phase) (rljob_operator_jobs{_OF})", "{{phase}}")],
                low=0,
                description="All jobs that the operator looks after.",
            )
        )
        .with_panel(
            lines(
                "Passes per second",
                [
                    Query(
                        f"sum(rate(rljob_operator_reconcile_seconds_count{_OF}[$__rate_interval]))"
                    )
                ],
                low=0,
                description="A pass compares one job with the cluster and writes what differs.",
            )
        )
        .with_panel(
            lines(
                "Failed passes per second",
                [
                    Query(
                        f"sum by (kind) (rate(rljob_operator_errors_total{_OF}[$__rate_interval]))",
                        "{{kind}}",
                    )
                ],
                low=0,
                description="By kind of error. Failed passes are repeated.",
            )
        )
        .with_panel(
            lines(
                "Time of a pass",
                [Query(f"namespace:rljob_operator_reconcile_seconds:p99_5m{_OF}")],
                unit="s",
                low=0,
                description="99th percentile, with its requests.",
            )
        )
        .with_panel(
            lines(
                "Wait for a pass",
                [Query(f"namespace:rljob_operator_queue_wait_seconds:p99_5m{_OF}")],
                unit="s",
                low=0,
                description="99th percentile, from when a job became due.",
            )
        )
        .with_panel(
            lines(
                "Queue",
                [Query(f"rljob_operator_queue_depth{_OF}", "{{pod}}")],
                low=0,
                description="Jobs that are due.",
            )
        )
    )


def _requests(made: Dashboard) -> Dashboard:
    return (
        made.with_row(row("Requests and leadership"))
        .with_panel(
            lines(
                "Requests per second",
                [
                    Query(
                        "sum by (method) "
                        f"(rate(rljob_operator_api_requests_total{_OF}[$__rate_interval]))",
                        "{{method}}",
                    )
                ],
                low=0,
                description="To the API server.",
            )
        )
        .with_panel(
            lines(
                "Replies per second",
                [Query(f"namespace_code:rljob_operator_api_requests:rate5m{_OF}", "{{code}}")],
                low=0,
                description="By status code; none: there was no reply.",
            )
        )
        .with_panel(
            lines(
                "Leader",
                [Query(f"rljob_operator_leading{_OF}", "{{pod}}")],
                low=0,
                high=1,
                description="1 for the one that leads; never for two.",
            )
        )
    )
