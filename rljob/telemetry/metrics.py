"""Metrics of a rollout batch: their names in TensorBoard, Prometheus, files and the report."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One number per rollout batch.

    Args:
        name: as in TensorBoard and metrics.jsonl, e.g. "reward/mean".
        help: description, one sentence.
        unit: unit of the value; empty for a plain number.
        plain: name to use in Prometheus, if `name` would be misleading there.
    """

    name: str
    help: str
    unit: str = ""
    plain: str = ""

    @property
    def prometheus_name(self) -> str:
        """`rljob_reward_mean` for `reward/mean`; the unit comes last, by Prometheus convention."""
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

REWARDS = "rewards/"  # prefix of the mean of each reward by its name: "rewards/format"

METRICS: tuple[Metric, ...] = (
    Metric("reward/mean", "Mean reward of the samples trained on."),
    Metric("reward/std", "Standard deviation of their rewards."),
    Metric("response/length_mean", "Mean length of a response.", "tokens"),
    Metric("response/length_min", "Shortest response.", "tokens"),
    Metric("response/length_max", "Longest response.", "tokens"),
    Metric("response/length_p50", "Median length of a response.", "tokens"),
    Metric("response/length_p95", "Length that 95 % of the responses do not exceed.", "tokens"),
    Metric("response/truncated_share", "Share of responses cut at the maximum length.", "share"),
    Metric("advantage/mean", "Mean advantage of the tokens that are learned."),
    Metric("advantage/std", "Standard deviation of these advantages."),
    Metric("advantage/min", "Smallest of these advantages."),
    Metric("advantage/max", "Largest of these advantages."),
    Metric(
        "train/token_accuracy",
        "Share of the answers' tokens that the model found most likely, before the step.",
        "share",
    ),
    Metric("loss/total", "Loss that was minimized.", plain="loss"),
    Metric("loss/policy", "Policy-gradient term of the loss."),
    Metric("loss/kl", "KL divergence from the reference in the loss, unweighted.", "nats"),
    Metric("loss/entropy", "Entropy of the policy in the loss, unweighted.", "nats"),
    Metric("train/gradient_norm", "Norm of the gradient before clipping."),
    Metric(
        "train/skipped",
        "Share of optimizer steps skipped because the gradient was not finite.",
        "share",
    ),
    Metric("train/learning_rate", "Learning rate of the last optimizer step."),
    Metric("train/clip_share", "Share of tokens whose importance ratio was clipped.", "share"),
    Metric("train/clip_low_share", "The part of them with a ratio below 1.", "share"),
    Metric("train/clip_high_share", "The part of them with a ratio above 1.", "share"),
    Metric("train/ratio_mean", "Mean importance ratio of a token, before clipping."),
    Metric("train/ratio_max", "Largest of these ratios."),
    Metric(
        "train/kl_old_mean",
        "Mean KL divergence per token of the policy from the one before the batch's steps (k1).",
        "nats",
    ),
    Metric(
        "kl/teacher_mean",
        "Mean KL divergence from the teacher per token, estimated by the sampled one.",
        "nats",
    ),
    Metric("critic/loss", "Loss of the critic."),
    Metric("critic/value_mean", "Mean value that the critic gives to a response token."),
    Metric(
        "critic/explained_variance",
        "Share of the returns' variance that the critic knew before the steps; below 0 it is worse "
        "than their mean.",
    ),
    Metric(
        "critic/clip_share",
        "Share of tokens whose value moved beyond the critic's clip distance.",
        "share",
    ),
    Metric("critic/gradient_norm", "Norm of the critic's gradient before clipping."),
    Metric(
        "critic/skipped",
        "Share of the critic's steps skipped because the gradient was not finite.",
        "share",
    ),
    Metric("critic/learning_rate", "Learning rate of the critic's last step."),
    Metric("kl/reference_mean", "Mean KL divergence from the reference policy per token.", "nats"),
    Metric(
        "mismatch/logprob_mean",
        "Mean absolute difference between the trainer's and the engine's log-probabilities, over "
        "samples of the current weights.",
        "nats",
    ),
    Metric("mismatch/logprob_max", "Largest of these differences.", "nats"),
    Metric("mismatch/tokens", "Tokens compared for mismatch/logprob_mean.", "tokens"),
    Metric("mismatch/stale_logprob_mean", "The same over older samples.", "nats"),
    Metric(
        "mismatch/probe_mean",
        "The same over a fixed sequence that engines score after an update; of the worst engine.",
        "nats",
    ),
    Metric("mismatch/probe_tokens", "Tokens compared for mismatch/probe_mean.", "tokens"),
    Metric("mismatch/weight_mean", "Mean importance weight that mismatch.correction gave a token."),
    Metric("mismatch/capped_share", "Share of tokens whose weight a bound replaced.", "share"),
    Metric(
        "mismatch/masked_share",
        "Share of tokens that mismatch.correction, veto or sequenceMask left out.",
        "share",
    ),
    Metric("staleness/mean", "Mean age of the trained tokens.", "versions"),
    Metric("staleness/max", "Age of the oldest trained token.", "versions"),
    Metric("weights/version", "Last published weight version."),
    Metric("weights/bytes", "Bytes sent to each engine, or written to disk, for it.", "bytes"),
    Metric(
        "weights/update_seconds",
        "Time from its first bucket until every engine had it.",
        "seconds",
    ),
    Metric(
        "weights/pause_seconds",
        "Time for which the engines were paused for it and generated nothing.",
        "seconds",
    ),
    Metric("throughput/samples_per_second", "Samples trained on per second.", "samples/s"),
    Metric("throughput/tokens_per_second", "Response tokens trained on per second.", "tokens/s"),
    Metric("data/epoch", "Times that the data has been drawn.", "epochs"),
    Metric("data/skipped", "Prompts skipped since the start: too long, or bad.", "prompts"),
    Metric("groups/dropped", "Groups dropped since the start of the run.", "groups"),
    Metric("groups/uses_mean", "Mean number of uses of the batch's groups so far.", "uses"),
    Metric("time/total", "Wall time of the rollout batch.", "s", plain="time/batch"),
    Metric("time/wait", "Time in which the trainer waited for samples.", "s"),
    Metric("time/generate", "Time in which the batch's groups were generated.", "s"),
    Metric("time/logprob", "Time for log-probabilities before the update.", "s"),
    Metric("time/train", "Time for optimizer steps.", "s"),
    Metric("time/publish", "Time for sending weights to the engines.", "s"),
    Metric("time/save", "Time for checkpoints.", "s"),
    Metric("time/evaluate", "Time for evaluations.", "s"),
)


def evaluation_metric(name: str) -> Metric:
    """The metric of an evaluation data set."""
    return Metric(f"eval/{name}/reward", f"Mean reward of the evaluation {name}.")
