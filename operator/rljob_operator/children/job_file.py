"""The job as its roles read it, in a ConfigMap."""

import json
from collections.abc import Container
from typing import Any

from rljob.api import RLJob
from rljob.api.change import EFFECTS, Effect, effect
from rljob_operator.children.wanted import Subject, Wanted, child, digest

KEY = "job.json"
DIRECTORY = "/etc/rljob"
RUN_DIRECTORY = "/rljob/run"
CODE_DIRECTORY = "/rljob/code"
# Sections of the spec whose fields differ in what a change of them does.
_DIVIDED = frozenset(name.partition(".")[0] for name in EFFECTS if "." in name)
_READ: tuple[Effect, ...] = ("rollout", "trainer", "all", "immutable")


def config_map(subject: Subject) -> Wanted:
    """The ConfigMap with the resolved job."""
    text = json.dumps(resolved(subject.job), sort_keys=True)
    return child(subject, "ConfigMap", "v1", f"{subject.name}-job", {"data": {KEY: text}})


def resolved(job: RLJob) -> dict[str, Any]:
    """The job in JSON, with the directories as they are in the pods.

    What the operator alone reads is left at its default: the roles are not told when it changes.
    """
    spec = _projection(job, _READ)
    spec["trainer"].pop("template")
    spec["rollout"].pop("template")
    spec["storage"] = {"run": {"directory": RUN_DIRECTORY}}
    if job.spec.code.config_map_ref is not None:
        spec["code"] = {"directory": CODE_DIRECTORY}
    return {
        "apiVersion": job.api_version,
        "kind": job.kind,
        "metadata": {"name": job.metadata.name, "namespace": job.metadata.namespace},
        "spec": spec,
    }


def reads(job: RLJob, role: Effect) -> str:
    """A hash of the fields whose change must restart a role's pods.

    Args:
        job: as the API server has it.
        role: trainer or rollout.
    """
    return digest(_projection(job, (role, "all", "immutable")))


def _projection(job: RLJob, effects: Container[Effect]) -> dict[str, Any]:
    """The fields of the spec whose change has one of the effects."""
    spec = job.spec.model_dump(mode="json", by_alias=True)
    kept: dict[str, Any] = {}
    for section, value in spec.items():
        if section in _DIVIDED:
            kept[section] = {
                name: inner
                for name, inner in value.items()
                if effect(f"{section}.{name}") in effects
            }
        elif effect(section) in effects:
            kept[section] = value
    return kept
