"""The metrics of a rollout batch: one list for TensorBoard, Prometheus and the report."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """`name` is TensorBoard's; `unit` is empty where the number has none."""

    name: str
    help: str
    unit: str = ""

    @property
    def prometheus_name(self) -> str:
        """rljob_reward_mean for reward/mean."""
        return "rljob_" + self.name.replace("/", "_")


METRICS = (
    Metric("reward/mean", "Mean reward of the batch's samples."),
    Metric("reward/std", "Standard deviation of the batch's rewards."),
    Metric("response/length_mean", "Mean response length.", "tokens"),
    Metric("response/length_max", "Longest response.", "tokens"),
    Metric("response/truncated_share", "Share of responses cut at the longest length."),
    Metric("loss/total", "Loss that was differentiated, mean over the batch's steps."),
    Metric("loss/policy", "Clipped policy loss."),
    Metric("loss/kl", "KL term of the loss, before its coefficient."),
    Metric("loss/entropy", "Mean entropy of the policy.", "nats"),
    Metric("train/gradient_norm", "Norm of the gradient before clipping."),
    Metric("train/learning_rate", "Learning rate."),
    Metric("train/skipped", "Share of optimizer steps skipped for a gradient that is not finite."),
    Metric("train/clip_share", "Share of tokens whose ratio was clipped."),
    Metric("kl/reference_mean", "Mean KL estimate to the reference.", "nats"),
    Metric("mismatch/logprob_mean", "Mean |log-probability of trainer - of engine|.", "nats"),
    Metric("mismatch/logprob_max", "Largest |log-probability of trainer - of engine|.", "nats"),
    Metric("staleness/mean", "Mean age of the consumed tokens.", "versions"),
    Metric("staleness/max", "Largest age of a consumed token.", "versions"),
    Metric("weights/version", "Published weight version."),
    Metric("throughput/samples_per_second", "Samples trained on per second.", "1/s"),
    Metric("throughput/tokens_per_second", "Response tokens trained on per second.", "1/s"),
    Metric("groups/dropped", "Groups dropped since the run began."),
    Metric("time/total", "Wall time since the batch before.", "s"),
    Metric("time/wait", "Waiting for samples.", "s"),
    Metric("time/generate", "From the batch's first lease to its last completion.", "s"),
    Metric("time/logprob", "Log-probabilities of the policy and the reference.", "s"),
    Metric("time/train", "Optimizer steps.", "s"),
    Metric("time/publish", "Publishing weights to the engines.", "s"),
    Metric("time/save", "Saving the checkpoint before this batch.", "s"),
    Metric("time/evaluate", "Evaluation.", "s"),
)
