"""The dashboard of one job."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from helm.monitoring.panels import Query, board, cells, lines, number, row, variable

_OF = '{namespace="$namespace",job="$job"}'
# kube-state-metrics knows no jobs. The ends are those that a StatefulSet and a Deployment give, so
# that no pod of a job whose name begins like this one's matches.
_PODS = (
    '{namespace="$namespace",'
    'pod=~"$job-((trainer|buffer)-[0-9]+|(rollout|router)-[a-z0-9]+-[a-z0-9]{5})"}'
)


def _last(name: str, legend: str = "") -> Query:
    """A gauge of the trainer."""
    return Query(f"rljob_{name}{_OF}", legend)


def _workers(name: str) -> Query:
    """A gauge of every worker."""
    return Query(f"rljob_rollout_{name}{_OF}", "{{pod}}")


def _of_engines(name: str) -> Query:
    """What every engine tells of itself."""
    return Query(f"rljob_engine_{name}{_OF}", "{{pod}}")


def _rate(name: str, legend: str = "") -> Query:
    """The rate of a counter, over all pods."""
    return Query(f"sum(rate(rljob_{name}_total{_OF}[$__rate_interval]))", legend)


def job() -> Dashboard:
    """Learning, staleness, who waits for whom, weights, throughput, buffer, engines, run."""
    names = "label_values(rljob_build_info{%s}, %s)"
    made = (
        board("RLJob: job", "rljob-job", "One job: what it learns, and where its time goes.")
        .with_variable(
            variable("namespace", "Namespace", names % ('rljob_dev_role!=""', "namespace"))
        )
        .with_variable(
            variable("job", "Job", names % ('rljob_dev_role!="",namespace="$namespace"', "job"))
        )
    )
    for part in (_summary, _learning, _agreement, _time, _weights, _flow, _engines, _run):
        made = part(made)
    return made


def _summary(made: Dashboard) -> Dashboard:
    return (
        made.with_panel(
            number(
                "Progress",
                f"rljob_job_progress_ratio{_OF}",
                unit="percentunit",
                description="Share of the job's batches that are done, from the operator.",
            )
        )
        .with_panel(
            number("Reward", f"rljob_reward_mean{_OF}", description="Mean of the last batch.")
        )
        .with_panel(
            number(
                "Since the last batch",
                f"time() - rljob_batch_timestamp_seconds{_OF}",
                unit="s",
                description="Time since a batch was finished.",
            )
        )
        .with_panel(
            number(
                "Since the last checkpoint",
                f"time() - rljob_checkpoint_timestamp_seconds{_OF}",
                unit="s",
                description="A restart repeats the work of this time.",
            )
        )
        .with_panel(
            number(
                "Engines",
                f"rljob_engines{_OF}",
                description="Live engines that hold the published weights.",
            )
        )
        .with_panel(
            number(
                "Alerts",
                'count(ALERTS{alertname=~"RLJob.*",alertstate="firing",'
                'namespace="$namespace",job="$job"}) or vector(0)',
                description="Alerts that fire for this job.",
            )
        )
    )


def _learning(made: Dashboard) -> Dashboard:
    return (
        made.with_row(row("Learning"))
        .with_panel(
            lines(
                "Reward",
                [
                    _last("reward_mean", "mean"),
                    _last("reward_std", "standard deviation"),
                    _last("advantage_mean", "mean advantage"),
                    _last("advantage_std", "standard deviation of the advantages"),
                    _last("rewards_mean", "{{name}}"),
                ],
                description="Of the samples trained on, each reward by its name before its weight, "
                "and the advantages of their tokens.",
            )
        )
        .with_panel(
            cells(
                "Rewards",
                f"sum by (le) (increase(rljob_reward_bucket{_OF}[$__rate_interval]))",
                description="How many samples got which reward.",
            )
        )
        .with_panel(
            lines(
                "Evaluation",
                [_last("evaluation_reward", "{{name}}")],
                description="Mean reward of each held-out data set, of its last evaluation.",
            )
        )
        .with_panel(
            lines(
                "Loss",
                [
                    _last("loss", "total"),
                    _last("loss_policy", "policy"),
                    _last("critic_loss", "critic"),
                ],
                description="What was minimized, its policy-gradient term, and the critic's loss; "
                "zero without a critic.",
            )
        )
        .with_panel(
            lines(
                "KL divergence from the reference",
                [
                    _last("kl_reference_mean", "per token"),
                    _last("loss_kl", "in the loss"),
                    _last("train_kl_old_mean", "from the policy before the batch's steps"),
                ],
                description="In nats; zero without a reference. The last line is the divergence "
                "from the policy before the batch's steps.",
            )
        )
        .with_panel(
            lines(
                "Entropy",
                [_last("loss_entropy")],
                low=0,
                description="Mean over response tokens, in nats. Near 0 nothing is explored.",
            )
        )
        .with_panel(
            lines(
                "Response length",
                [
                    _last("response_length_mean_tokens", "mean"),
                    _last("response_length_max_tokens", "longest"),
                    _last("response_length_p95_tokens", "95th percentile"),
                    _last("response_length_min_tokens", "shortest"),
                ],
                low=0,
                description="In tokens.",
            )
        )
        .with_panel(
            lines(
                "Shares",
                [
                    _last("response_truncated_ratio", "responses cut"),
                    _last("train_clip_ratio", "tokens clipped"),
                    _last("train_clip_low_ratio", "clipped below 1"),
                    _last("train_clip_high_ratio", "clipped above 1"),
                    _last("train_skipped_ratio", "steps skipped"),
                ],
                unit="percentunit",
                low=0,
                description="Responses cut at the maximum length; tokens whose importance ratio "
                "was clipped; optimizer steps skipped because the gradient was not finite.",
            )
        )
        .with_panel(
            lines(
                "Gradient norm",
                [
                    _last("train_gradient_norm", "policy"),
                    _last("critic_gradient_norm", "critic"),
                ],
                low=0,
                description="Before clipping; zero for a critic that the job does not have.",
            )
        )
    )


def _agreement(made: Dashboard) -> Dashboard:
    return (
        made.with_row(row("Staleness and mismatch"))
        .with_panel(
            lines(
                "Staleness",
                [
                    _last("staleness_mean", "mean"),
                    _last("staleness_max", "oldest token"),
                    _last("staleness_bound", "bound"),
                ],
                low=0,
                description="Age of the trained tokens, in weight versions.",
            )
        )
        .with_panel(
            lines(
                "Weight version",
                [
                    _last("weights_version", "published"),
                    Query(f"min(rljob_rollout_weights_version{_OF})", "oldest of the engines"),
                ],
                description="Of the trainer, and of the engines' last samples.",
            )
        )
        .with_panel(
            lines(
                "Mismatch",
                [
                    _last("mismatch_logprob_mean", "fresh samples"),
                    _last("mismatch_stale_logprob_mean", "older samples"),
                    _last("mismatch_probe_mean", "fixed sequence"),
                    _last("mismatch_bound", "bound"),
                ],
                low=0,
                description="Mean difference of trainer's and engines' log-probabilities, in nats.",
            )
        )
    )


def _time(made: Dashboard) -> Dashboard:
    stages = ("wait", "logprob", "train", "publish", "save", "evaluate")
    return (
        made.with_row(row("Who waits for whom"))
        .with_panel(
            lines(
                "Waiting",
                [
                    _last("wait_ratio", "trainer waits for samples"),
                    _last("held_ratio", "engines wait for groups"),
                ],
                unit="percentunit",
                low=0,
                high=1,
                description="Shares of time over the last batches. Where the trainer waits, more "
                "engines help; where the engines wait, a faster trainer or more staleness does.",
            )
        )
        .with_panel(
            lines(
                "A batch's time",
                [
                    *(_last(f"time_{stage}_seconds", stage) for stage in stages),
                    _last("time_batch_seconds", "total"),
                ],
                unit="s",
                low=0,
                description="By what the trainer did.",
            )
        )
        .with_panel(
            lines(
                "Engines held back",
                [_workers("held_back_ratio")],
                unit="percentunit",
                low=0,
                high=1,
                description="Share of the last minute in which an engine was ready and there was "
                "no group to generate.",
            )
        )
    )


def _weights(made: Dashboard) -> Dashboard:
    return (
        made.with_row(row("Weights"))
        .with_panel(
            lines(
                "Publishing",
                [_last("time_publish_seconds")],
                unit="s",
                low=0,
                width=6,
                description="Time in which the trainer published weights instead of training.",
            )
        )
        .with_panel(
            lines(
                "Pause of the engines",
                [_last("weights_pause_seconds")],
                unit="s",
                low=0,
                width=6,
                description="Time for which an update kept its engines from generating.",
            )
        )
        .with_panel(
            lines(
                "Update of the engines",
                [_last("weights_update_seconds")],
                unit="s",
                low=0,
                width=6,
                description="From the first bucket until every engine had the weights. The pause "
                "is a part of it.",
            )
        )
        .with_panel(
            lines(
                "Size of an update",
                [_last("weights_bytes")],
                unit="bytes",
                low=0,
                width=6,
                description="Sent to each engine, or written to disk, for it.",
            )
        )
    )


def _flow(made: Dashboard) -> Dashboard:
    return (
        made.with_row(row("Throughput and buffer"))
        .with_panel(
            lines(
                "Response tokens per second",
                [
                    Query(f"namespace_job:rljob_tokens:rate5m{_OF}", "trained on"),
                    Query(f"namespace_job:rljob_rollout_tokens:rate5m{_OF}", "generated"),
                ],
                low=0,
                description="Over five minutes.",
            )
        )
        .with_panel(
            lines(
                "Groups in the buffer",
                [_last("buffer_groups", "{{state}}")],
                low=0,
                description="Waiting for an engine, being generated, ready to be trained on.",
            )
        )
        .with_panel(
            lines(
                "Buffer memory",
                [
                    _last("buffer_memory_bytes", "used"),
                    _last("buffer_memory_limit_bytes", "limit"),
                ],
                unit="bytes",
                low=0,
                description="Of its server. Without a limit there is only the first line.",
            )
        )
    )


def _engines(made: Dashboard) -> Dashboard:
    duration = f"namespace_job:rljob_rollout_generation_seconds:%s_5m{_OF}"
    return (
        made.with_row(row("Engines and rewards"))
        .with_panel(
            lines(
                "Engines",
                [
                    Query(f"sum(rljob_rollout_engine_ready{_OF})", "ready"),
                    _last("engines", "with the published weights"),
                    _last("engines_lagging", "lagging"),
                ],
                low=0,
                description="Live engines.",
            )
        )
        .with_panel(
            lines(
                "Tokens per second of each engine",
                [_workers("tokens_per_second")],
                low=0,
                description="Over the last minute.",
            )
        )
        .with_panel(
            lines(
                "Time of a request",
                [Query(duration % "p50", "median"), Query(duration % "p99", "99th percentile")],
                unit="s",
                low=0,
                description="To an engine, until all of its responses were there.",
            )
        )
        .with_panel(
            lines(
                "KV cache in use",
                [_of_engines("kv_cache_use")],
                unit="percentunit",
                low=0,
                high=1,
                description="Share that running samples hold. Near 100 %, samples queue, or are "
                "put back and begun again.",
            )
        )
        .with_panel(
            lines(
                "Prompts found in the cache",
                [_of_engines("cache_hit_ratio")],
                unit="percentunit",
                low=0,
                high=1,
                description="Share of the last prompts' tokens, as SGLang counts them; zero with "
                "weights.pauseMode in_place.",
            )
        )
        .with_panel(
            lines(
                "Queued samples",
                [
                    _of_engines("queued_requests"),
                    Query(f"sum(rljob_engine_running_requests{_OF})", "running, all engines"),
                ],
                low=0,
                description="In each engine, until it has room for them.",
            )
        )
        .with_panel(
            lines(
                "Groups of each engine",
                [_workers("groups_in_flight")],
                low=0,
                description="Leased now.",
            )
        )
        .with_panel(
            lines(
                "Failures per second",
                [
                    _rate("rollout_failed_generations", "requests not answered"),
                    _rate("rollout_reward_failures", "samples not judged"),
                    _rate("groups_dropped", "groups dropped"),
                ],
                low=0,
                description="Over all engines.",
            )
        )
        .with_panel(
            lines(
                "Rewards that fail",
                [Query(f"namespace_job:rljob_rollout_reward_failures:ratio_rate15m{_OF}")],
                unit="percentunit",
                low=0,
                description="Share of samples that could not be judged, over 15 minutes.",
            )
        )
    )


def _run(made: Dashboard) -> Dashboard:
    return (
        made.with_row(row("Run"))
        .with_panel(
            lines(
                "Starts of the trainer",
                [_last("incarnation")],
                low=0,
                description="Each step is a restart.",
            )
        )
        .with_panel(
            lines(
                "Restarts of containers",
                [
                    Query(
                        "sum by (pod, container) "
                        f"(kube_pod_container_status_restarts_total{_PODS})",
                        "{{pod}}: {{container}}",
                    )
                ],
                low=0,
                description="Of the job's pods, from kube-state-metrics. A pod that is replaced "
                "begins at zero.",
            )
        )
        .with_panel(
            lines(
                "Pods that answer",
                [
                    Query(
                        "sum by (rljob_dev_role) "
                        '(up{namespace="$namespace",job="$job",rljob_dev_role!=""})',
                        "{{rljob_dev_role}}",
                    )
                ],
                low=0,
                description="By role; a fall is a restart or a lost pod.",
            )
        )
    )
