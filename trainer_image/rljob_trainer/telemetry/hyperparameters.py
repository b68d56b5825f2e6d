"""The settings that runs are compared by."""

import json
from collections.abc import Mapping
from typing import Any

from rljob.api import RLJob


def hyperparameters(job: RLJob) -> dict[str, bool | float | str]:
    """By their path in the manifest; lists as JSON, and nothing that is null."""
    spec = job.spec
    settings = {
        "seed": spec.seed,
        **{f"trainer.optimizer.{name}": v for name, v in spec.trainer.optimizer.items()},
        **{f"algorithm.{name}": v for name, v in _flat(spec.algorithm.model_dump()).items()},
        **{f"schedule.{name}": v for name, v in _flat(spec.schedule.model_dump()).items()},
        **{f"sampling.{name}": v for name, v in spec.rollout.sampling.model_dump().items()},
    }
    return {
        name: value if isinstance(value, bool | int | float | str) else json.dumps(value)
        for name, value in settings.items()
        if value is not None
    }


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": part for key, part in _flat(value).items()}
        else:
            flat[name] = value
    return flat
