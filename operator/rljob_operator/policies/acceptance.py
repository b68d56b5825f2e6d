"""Acceptance: whether a job can be run as specified, in this cluster."""

from collections.abc import Mapping, Sequence
from typing import Any

from rljob.api import RLJob
from rljob.api.caution import cautions
from rljob.api.problem import Problem
from rljob.api.review import review
from rljob.api.support import unsupported
from rljob_operator.children import Wanted
from rljob_operator.children.rdma import CAPABILITY
from rljob_operator.kind import kind_of
from rljob_operator.policies.cluster_path import paths_are_absolute
from rljob_operator.reason import Reason
from rljob_operator.state import Look


def accept(manifest: Mapping[str, Any]) -> tuple[RLJob | None, Reason, str]:
    """The job, or None, with a reason and a message.

    The message has every problem, or every warning of an accepted job, one per line, as
    `rljob validate` prints them.
    """
    job, problems = review(manifest)
    if job is None:
        return None, Reason.INVALID, _lines(problems)
    missing = list(paths_are_absolute(job))
    if missing:
        return None, Reason.INVALID, _lines(missing)
    beyond = unsupported(job, local=False)
    if beyond:
        return None, Reason.UNSUPPORTED, _lines(beyond)
    warnings = [str(each) for each in cautions(job)]
    if job.spec.network.rdma is not None:
        warnings.append(
            f"pods have the capability {CAPABILITY}, for spec.network.rdma; "
            "namespaces with the restricted Pod Security Standard refuse them"
        )
    return job, Reason.VALID, "\n".join(warnings)


def obstacle(look: Look, wanted: Sequence[Wanted]) -> tuple[Reason, str] | None:
    """What prevents the job's children from being created or applied; None: nothing."""
    for each in wanted:
        kind = kind_of(each.manifest["apiVersion"], each.ref.kind)
        if kind.optional and f"{kind.group}/{kind.name}" not in look.observed.cluster.kinds:
            said = f"{each.ref.kind} of {kind.group} is not installed in this cluster"
            return Reason.KIND_MISSING, said
    for each in wanted:
        if each.ref in look.observed.taken:
            said = f"{each.ref.kind} {each.ref.name} exists already, and is not this job's"
            return Reason.NAME_TAKEN, f"{said}; remove it, or give the job another name"
        refusal = look.observed.refused.get(each.ref)
        if refusal is not None and refusal.applied == each.applied:
            said = f"the API server refuses {each.ref.kind} {each.ref.name}: {refusal.message}"
            return Reason.INVALID, f"{_template(each.role)}: {said}" if each.on_trial else said
        child = look.observed.children.get(each.ref)
        if child is None or child.owned or each.once:
            continue
        if child.deleting or child.owner == f"RLJob {look.name}":
            continue  # it belongs to an earlier job of this name, and is garbage collected
        owner = f"belongs to {child.owner}" if child.owner else "is not this job's"
        said = f"{each.ref.kind} {each.ref.name} {owner}; remove it, or give the job another name"
        return Reason.NAME_TAKEN, said
    return None


def _template(role: str) -> str:
    """The field with the pod template of a role."""
    return f"spec.{'rollout.router' if role == 'router' else role}.template"


def _lines(problems: Sequence[Problem]) -> str:
    return "\n".join(str(problem) for problem in problems)
