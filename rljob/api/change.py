"""What a change of a field does to a job that is under way."""

from typing import Literal

Effect = Literal["live", "rollout", "trainer", "all", "immutable"]
MEANING: dict[Effect, str] = {
    "live": "takes effect at once; no pod of trainer or rollout is restarted",
    "rollout": "the rollout pods are replaced, one part after the other; training goes on",
    "trainer": "the trainer restarts from its last checkpoint; the engines stay",
    "all": "trainer and rollout pods are replaced; training goes on from the last checkpoint",
    "immutable": "refused: make a new job",
}

# Longest match counts: a field that is not named here is as the part that it belongs to.
EFFECTS: dict[str, Effect] = {
    "suspend": "live",
    # Another controller would find children that it does not know.
    "managedBy": "immutable",
    # Order of the data, and so what has been consumed, follows from it.
    "seed": "immutable",
    "colocate": "immutable",
    "device": "immutable",
    "model": "immutable",
    "data": "immutable",
    "algorithm": "trainer",
    # Groups that are under way have the old number of samples.
    "algorithm.samplesPerPrompt": "immutable",
    "schedule": "trainer",
    "schedule.rolloutBatchSize": "immutable",
    "trainer": "trainer",
    "rollout": "rollout",
    "rollout.replicas": "live",
    "rollout.autoscaling": "live",
    "rollout.router": "live",
    # The trainer joins one rank per GPU of an engine into the update group.
    "rollout.gpusPerReplica": "all",
    # The trainer's log-probabilities are at the sampling temperature.
    "rollout.sampling": "all",
    "rollout.partial": "all",
    "weights": "all",
    "buffer": "immutable",
    "network": "all",
    "storage": "all",
    "storage.run": "immutable",
    # Prompts are read by the trainer, rewards by the workers.
    "evaluation": "all",
    "code": "all",
    "gang": "immutable",
    "runPolicy": "live",
    "tracking": "trainer",
}


def effect(field: str) -> Effect:
    """What a change of a field of the spec does.

    Args:
        field: path below spec, with dots, e.g. `schedule.rollouts`.

    Raises:
        KeyError: the spec has no such field.
    """
    parts = field.split(".")
    for length in range(len(parts), 0, -1):
        found = EFFECTS.get(".".join(parts[:length]))
        if found is not None:
            return found
    raise KeyError(field)
