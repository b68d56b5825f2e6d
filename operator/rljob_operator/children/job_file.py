"""The ConfigMap with the job file that the roles read."""

import json
from collections.abc import Container, Iterable, Mapping
from typing import Any

from rljob.api import RLJob, pod_paths
from rljob.api.change import Effect, effect, is_divided
from rljob_operator import names
from rljob_operator.children import inputs
from rljob_operator.children.wanted import Subject, Wanted, child, digest

KEY = "job.json"
_READ: tuple[Effect, ...] = ("rollout", "trainer", "all", "immutable")


def config_map(subject: Subject) -> Wanted:
    """The ConfigMap with the resolved job."""
    text = json.dumps(resolved(subject.job), sort_keys=True)
    name, body = f"{subject.name}-job", {"data": {KEY: text}}
    return child(subject, "ConfigMap", "v1", name, body, annotations=origin(subject, "job"))


def resolved(job: RLJob) -> dict[str, Any]:
    """The job as JSON, with the directories inside the pods.

    Fields that only the operator reads keep their default, so that changing them does not restart
    the roles.
    """
    spec = _projection(job, _READ)
    spec["trainer"].pop("template")
    spec["rollout"].pop("template")
    spec["storage"] = {"run": {"directory": pod_paths.RUN}}
    if job.spec.code.config_map_ref is not None:
        spec["code"] = {"directory": pod_paths.CODE}
    return {
        "apiVersion": job.api_version,
        "kind": job.kind,
        "metadata": {"name": job.metadata.name, "namespace": job.metadata.namespace},
        "spec": spec,
    }


def reads(job: RLJob, role: Effect) -> str:
    """A hash of the fields whose change must restart a role's pods.

    Args:
        job: the job from the API server.
        role: trainer or rollout.
    """
    return digest(_projection(job, (role, "all", "immutable")))


def origin(subject: Subject, role: str) -> dict[str, str]:
    """The annotations that tell of what, and by which operator, a role's workload is made.

    Args:
        subject: the job.
        role: trainer, rollout, router or buffer; job: the job file.
    """
    # Without defaults: a new version may have others, and more fields.
    said = _projection(subject.job, inputs.EFFECTS[role], exclude_defaults=True)
    return {
        names.ANNOTATION_INPUTS: digest([said, *inputs.own(subject.job, role)]),
        names.ANNOTATION_MADE_BY: inputs.made_by(subject.cluster),
    }


def _projection(
    job: RLJob, effects: Container[Effect], *, exclude_defaults: bool = False
) -> dict[str, Any]:
    """The fields of the spec whose change has one of the effects."""
    dump = job.spec.model_dump(mode="json", by_alias=True, exclude_defaults=exclude_defaults)
    return _kept(dump, effects)


def _kept(part: Mapping[str, Any], effects: Container[Effect], prefix: str = "") -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in part.items():
        if value is None:  # as if it, or the part that it is in, were not given
            continue
        field = f"{prefix}{name}"
        if not is_divided(field):
            if effect(field) in effects:
                kept[name] = value
        elif isinstance(value, list):
            items = [_kept(item, effects, f"{field}[].") for item in value]
            kept[name] = items if effect(field) in effects else _distinct(items)
        else:
            inside = _kept(value, effects, f"{field}.")
            if inside:
                kept[name] = inside
    return kept


def _distinct(items: Iterable[Any]) -> list[str]:
    """The distinct values of list items: the role does not depend on their number or order."""
    said = {json.dumps(_said(item), sort_keys=True) for item in items}
    return sorted(said - {"{}"})


def _said(part: Mapping[str, Any]) -> dict[str, Any]:
    """The part without nulls, and without parts that contain only nulls."""
    said = {
        name: _said(value) if isinstance(value, dict) else value for name, value in part.items()
    }
    return {name: value for name, value in said.items() if value not in (None, {})}
