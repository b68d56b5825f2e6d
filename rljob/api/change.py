"""What a change of a field does to a job that is under way."""

from functools import cache
from typing import Literal

Effect = Literal["live", "rollout", "trainer", "all", "immutable"]
MEANING: dict[Effect, str] = {
    "live": "takes effect at once; no pod of trainer or rollout is restarted",
    "rollout": "the rollout pods are replaced, some at a time, and the router with its image; "
    "training continues",
    "trainer": "the trainer stops, saves a checkpoint, and resumes from it; the engines stay",
    "all": "the pods of trainer and rollout are replaced, and those of buffer and router that have "
    "it; training resumes from its checkpoint",
    "immutable": "refused: make a new job",
}

# A run that goes on with another value here would not be the same run: its checkpoint, ledger and
# data cursor were made with the old one.
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
    # They decide what the optimizer's state consists of.
    "trainer.optimizer.optimizer",
    "trainer.optimizer.use_distributed_optimizer",
    "trainer.optimizer.use_precision_aware_optimizer",
    "rollout.sampling",
    "rollout.generate",
    "rollout.reward.type",
    "rollout.reward.strict",
    "rollout.reward.failureReward",
)

# By path below spec, `[]` for the items of a list. A field that is not named here is as the part
# that it belongs to.
EFFECTS: dict[str, Effect] = {
    **dict.fromkeys(SAME_RUN, "immutable"),
    "suspend": "live",
    # Another controller would find children that it does not know.
    "managedBy": "immutable",
    # Other pods on other machines, and with `dtype: auto` another number format.
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
    # The trainer's exchange chooses.
    "rollout.bufferFilter": "trainer",
    # Limits of the judging: the trainer sends them with each group.
    "rollout.reward": "trainer",
    # What becomes of groups that were begun, both sides must say alike.
    "rollout.partial": "all",
    "weights": "trainer",
    # The claim for the run directory was made for one machine or for several.
    "weights.transport": "immutable",
    # The trainer pauses, the engine keeps its cache accordingly.
    "weights.pauseMode": "all",
    # The trainer's ledger builds a new buffer up; but Kubernetes can't change a volume's claim.
    "buffer": "all",
    "buffer.persistence": "immutable",
    "network": "all",
    "storage": "all",
    # The checkpoints stay where they are.
    "storage.run": "immutable",
    "evaluation": "trainer",
    # An engine makes room for the longest response.
    "evaluation[].sampling.maxResponseTokens": "all",
    "code": "all",
    # The group was scheduled as a whole.
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
    """What a change of a field of the spec does.

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
    """Whether fields inside this one have effects of their own; arguments as of `effect`."""
    return field in _DIVIDED
