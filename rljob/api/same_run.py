"""Checks which fields of a manifest changed between two starts of the same run."""

import json
from collections.abc import Sequence
from typing import Any

from rljob.api import RLJob
from rljob.api.change import SAME_RUN, STAYS_TRAINING

SPEC_FIXED = tuple(f"spec.{field}" for field in SAME_RUN)
FIXED = ("metadata.name", "metadata.namespace", *SPEC_FIXED)


def forbidden_changes(before: RLJob, after: RLJob, fixed: Sequence[str] = FIXED) -> list[str]:
    """A line for each fixed field that differs: its name, the old value and the new one."""
    old, new = _flat(before), _flat(after)
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if before.spec.schedule.trains and not after.spec.schedule.trains:
        fixed = (*fixed, f"spec.{STAYS_TRAINING}")
    return [
        f"{name}: the run has {_shown(old.get(name))}, found {_shown(new.get(name))}"
        for name in changed
        if any(name == field or name.startswith(f"{field}.") for field in fixed)
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
