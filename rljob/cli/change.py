"""What of a manifest may change between two starts of the same run."""

import json
from typing import Any

from rljob.api import RLJob

# A run that goes on with another value here would not be the same run: its checkpoint, ledger and
# data cursor were made with the old one.
FIXED = (
    "metadata.name",
    "metadata.namespace",
    "spec.seed",
    "spec.model",
    "spec.data",
    "spec.algorithm.estimator",
    "spec.algorithm.samplesPerPrompt",
    "spec.schedule.rolloutBatchSize",
    "spec.schedule.globalBatchSize",
    "spec.schedule.stepsPerRollout",
    "spec.schedule.overSamplingBatchSize",
    "spec.schedule.maxStaleness",
    "spec.schedule.updateWeightsInterval",
    "spec.trainer.gpusPerReplica",
    "spec.trainer.replicas",
    "spec.trainer.parallelism",
    "spec.trainer.megatron",
    "spec.rollout.sampling",
    "spec.rollout.generate",
    "spec.rollout.reward",
)


def forbidden_changes(before: RLJob, after: RLJob) -> list[str]:
    """A line for each fixed field that differs: its name, the old value and the new one."""
    old, new = _flat(before), _flat(after)
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return [
        f"{name}: the run has {_shown(old.get(name))}, found {_shown(new.get(name))}"
        for name in changed
        if any(name == field or name.startswith(f"{field}.") for field in FIXED)
    ]


def _flat(job: RLJob) -> dict[str, Any]:
    """Every value by its dotted name; lists count as one value."""
    values: dict[str, Any] = {}

    def visit(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, part in value.items():
                visit(f"{name}.{key}" if name else key, part)
        else:
            values[name] = value

    visit("", job.model_dump(mode="json", by_alias=True))
    return values


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
