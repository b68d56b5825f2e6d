"""The effect of changing a field of a running job."""

from functools import cache
from typing import Literal

Effect = Literal["live", "rollout", "trainer", "all", "immutable"]
MEANING: dict[Effect, str] = {
    "live": "takes effect at once; no pod of trainer or rollout is restarted",
    "rollout": "the rollout pods are replaced, a few at a time, and the router if its image "
    "changes; training continues",
    "trainer": "the trainer stops, saves a checkpoint, and resumes from it; the engines stay",
    "all": "the pods of trainer and rollout are replaced, and those of buffer and router if the "
    "field concerns them; training resumes from its checkpoint",
    "immutable": "refused: create a new job",
}

# A run can't continue with other values of these: its checkpoint, ledger and data cursor depend on
# the old ones.
SAME_RUN = (
    "seed",
    "model",
    "data.prompts",
    "data.inputKey",
    "data.labelKey",
    "data.metadataKey",
    "data.applyChatTemplate",
    "data.chatTemplateKwargs",
    "data.shuffle",
    "data.shuffleBlock",
    "data.maxPromptTokens",
    "data.skipLongPrompts",
    "data.source",
    "algorithm.estimator",
    "algorithm.advantage",
    "algorithm.loss",
    "algorithm.critic.checkpoint",
    "algorithm.distillation",
    # A checkpoint holds the reference only with it.
    "algorithm.kl.referenceInterval",
    "algorithm.samplesPerPrompt",
    "schedule.rolloutBatchSize",
    "schedule.globalBatchSize",
    "schedule.stepsPerRollout",
    "schedule.overSamplingBatchSize",
    "schedule.maxStaleness",
    "schedule.maxUses",
    "schedule.updateWeightsInterval",
    "trainer.replicas",
    "trainer.gpusPerReplica",
    "trainer.parallelism",
    "trainer.megatron",
    # These determine the contents of the optimizer state.
    "trainer.optimizer.optimizer",
    "trainer.optimizer.use_distributed_optimizer",
    "trainer.optimizer.use_precision_aware_optimizer",
    "rollout.sampling",
    "rollout.generate",
    "rollout.reward.type",
    "rollout.reward.strict",
    "rollout.reward.failureReward",
    "rollout.reward.typeKey",
    "rollout.reward.group",
    "rollout.reward.bufferTokens",
    "rollout.reward.judge",
    # A list is compared as a whole.
    "rollout.rewards",
)

# Optional mappings with immutable fields: they can be neither added nor removed.
GIVEN_ONCE = ("rollout.reward",)

# A run with `schedule.rollouts` 0 can train later, from the beginning. One that trains can't become
# one that only evaluates: this would evaluate the weights it began with.
STAYS_TRAINING = "schedule.rollouts"

# By path below spec, `[]` for the items of a list. A field that is not listed has the effect of its
# parent.
EFFECTS: dict[str, Effect] = {
    **dict.fromkeys(SAME_RUN, "immutable"),
    "suspend": "live",
    # Another controller would not know the existing children.
    "managedBy": "immutable",
    # The pods and their machines would change, and with `dtype: auto` the number format.
    "colocate": "immutable",
    "device": "immutable",
    "imagePullPolicy": "all",
    "imagePullSecrets": "all",
    "data": "trainer",
    "algorithm": "trainer",
    "schedule": "trainer",
    "trainer": "trainer",
    "rollout": "rollout",
    "rollout.replicas": "live",
    "rollout.autoscaling": "live",
    "rollout.router": "live",
    # The trainer joins one rank per GPU of an engine into the update group.
    "rollout.gpusPerReplica": "all",
    # The filter runs in the trainer.
    "rollout.bufferFilter": "trainer",
    # A filter in the trainer reads them too.
    "rollout.slimeArguments": "all",
    # The trainer sends the limits for judging with each group.
    "rollout.reward": "trainer",
    # Both sides must agree on what happens to unfinished groups.
    "rollout.partial": "all",
    "weights": "trainer",
    # It decided whether the claim of the run directory is for one machine or for several.
    "weights.transport": "immutable",
    # The trainer pauses the engines in this mode, and their cache must match it.
    "weights.pauseMode": "all",
    # A new buffer is filled from the trainer's ledger, but a volume claim can't be changed.
    "buffer": "all",
    "buffer.persistence": "immutable",
    "buffer.template": "live",
    "network": "all",
    "storage": "all",
    # Checkpoints are not moved.
    "storage.run": "immutable",
    "evaluation": "trainer",
    # An engine reserves room for the longest response.
    "evaluation[].sampling.maxResponseTokens": "all",
    # An engine reads texts only if there are some to stop at.
    "evaluation[].sampling.stop": "all",
    "code": "all",
    # The gang was scheduled as a whole.
    "gang": "immutable",
    "runPolicy": "live",
    "tracking": "trainer",
}
_DIVIDED = {
    key[:end].removesuffix("[]")
    for key in EFFECTS
    for end in (n for n, letter in enumerate(key) if letter == ".")
}


@cache
def effect(field: str) -> Effect:
    """The effect of changing a field of the spec.

    Args:
        field: path below spec, with dots, e.g. `schedule.rollouts`; `[]` for the items of a list.

    Raises:
        KeyError: the spec has no such field.
    """
    parts = field.split(".")
    for length in range(len(parts), 0, -1):
        part = ".".join(parts[:length])
        found = EFFECTS.get(part) or EFFECTS.get(part.removesuffix("[]"))
        if found is not None:
            return found
    raise KeyError(field)


def is_divided(field: str) -> bool:
    """Whether fields inside this one have their own effects; for the argument see `effect`."""
    return field in _DIVIDED
