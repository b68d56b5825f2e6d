"""The numbers of a rollout batch: their names in TensorBoard, Prometheus, files and the report."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One number per rollout batch.

    Args:
        name: as in TensorBoard and metrics.jsonl, e.g. "reward/mean".
        help: what it is, in a sentence.
        unit: of the value; empty where it is a plain number.
        plain: what the metric is of, for Prometheus, where `name` would mislead there.
    """

    name: str
    help: str
    unit: str = ""
    plain: str = ""

    @property
    def prometheus_name(self) -> str:
        """`reward/mean` is `rljob_reward_mean`; the unit comes last, as Prometheus has it."""
        name = "rljob_" + (self.plain or self.name).replace("/", "_").removesuffix("_share")
        suffix = _PROMETHEUS_UNITS.get(self.unit, "")
        return name if name.endswith(suffix) else name + suffix


_PROMETHEUS_UNITS = {
    "tokens": "_tokens",
    "share": "_ratio",
    "s": "_seconds",
    "seconds": "_seconds",
    "bytes": "_bytes",
}

METRICS: tuple[Metric, ...] = (
    Metric("reward/mean", "Mean reward of the samples trained on."),
    Metric("reward/std", "Standard deviation of their rewards."),
    Metric("response/length_mean", "Mean length of a response.", "tokens"),
    Metric("response/length_max", "Longest response.", "tokens"),
    Metric("response/truncated_share", "Share of responses cut at their longest length.", "share"),
    Metric("loss/total", "Loss that was minimized.", plain="loss"),
    Metric("loss/policy", "Its policy-gradient part."),
    Metric("loss/kl", "Divergence from the reference, as the loss takes it, unweighted.", "nats"),
    Metric("loss/entropy", "Mean entropy of the policy over response tokens.", "nats"),
    Metric("train/gradient_norm", "Norm of the gradient before clipping."),
    Metric(
        "train/skipped",
        "Share of optimizer steps left out for a gradient that is not finite.",
        "share",
    ),
    Metric("train/learning_rate", "Learning rate of the last optimizer step."),
    Metric("train/clip_share", "Share of tokens whose importance ratio was clipped.", "share"),
    Metric("kl/reference_mean", "Mean divergence from the reference policy per token.", "nats"),
    Metric(
        "mismatch/logprob_mean",
        "Mean difference of the trainer's and the engine's log-probabilities, absolute, over "
        "samples made by the present weights.",
        "nats",
    ),
    Metric("mismatch/logprob_max", "Largest of these differences.", "nats"),
    Metric("mismatch/tokens", "Tokens that were compared for it.", "tokens"),
    Metric("mismatch/stale_logprob_mean", "The same over older samples.", "nats"),
    Metric(
        "mismatch/probe_mean",
        "The same over a fixed sequence that engines score after an update; the worst engine's.",
        "nats",
    ),
    Metric("mismatch/probe_tokens", "Tokens that were compared for it.", "tokens"),
    Metric("staleness/mean", "Mean age of the trained tokens.", "versions"),
    Metric("staleness/max", "Age of the oldest trained token.", "versions"),
    Metric("weights/version", "Weight version published last."),
    Metric("weights/bytes", "Sent to each engine, or written to the disk, for it.", "bytes"),
    Metric("weights/update_seconds", "From its first bucket until every engine had it.", "seconds"),
    Metric("throughput/samples_per_second", "Samples trained on per second.", "samples/s"),
    Metric("throughput/tokens_per_second", "Response tokens trained on per second.", "tokens/s"),
    Metric("groups/dropped", "Groups dropped since the start of the run.", "groups"),
    Metric("groups/uses_mean", "Mean number of batches that its groups have been in.", "uses"),
    Metric("time/total", "Wall time of the rollout batch.", "s", plain="time/batch"),
    Metric("time/wait", "Time in which the trainer waited for samples.", "s"),
    Metric("time/generate", "Time in which the batch's groups were generated.", "s"),
    Metric("time/logprob", "Time for log-probabilities before the update.", "s"),
    Metric("time/train", "Time for optimizer steps.", "s"),
    Metric("time/publish", "Time for bringing weights to the engines.", "s"),
    Metric("time/save", "Time for checkpoints.", "s"),
    Metric("time/evaluate", "Time for evaluations.", "s"),
)


def evaluation_metric(name: str) -> Metric:
    """The metric of an evaluation data set."""
    return Metric(f"eval/{name}/reward", f"Mean reward of the evaluation {name}.")
