"""Drift: which children differ from what is wanted, and the actions that correct them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rljob_operator.action import Action, Apply, Create, Delete, Event, Scale
from rljob_operator.children import Wanted
from rljob_operator.events import normal, warning
from rljob_operator.observed import Child, Ref
from rljob_operator.policies.upgrade import held, remade
from rljob_operator.reason import Told
from rljob_operator.state import WORKLOADS, Look, holds


@dataclass(frozen=True, slots=True)
class Drift:
    """The actions and events that follow from drift.

    Args:
        actions: actions, in order.
        events: events to post.
    """

    actions: tuple[Action, ...]
    events: tuple[Event, ...]


def drift(look: Look, wanted: Sequence[Wanted]) -> Drift:
    """The drift of an active job's children.

    Args:
        look: the observed job.
        wanted: all of its children, in the order in which they are applied.
    """
    kept = held(look, wanted)
    due = {each.ref for each in wanted if _is_due(look, each, kept)}
    known = {each.ref for each in wanted}
    surplus = [
        child
        for child in look.observed.children.values()
        if child.ref not in known and child.owned and not child.deleting
    ]
    actions = [
        _scale(look, each) if each.ref in kept else _action(look, each)
        for each in wanted
        if each.ref in due or (each.ref.kind == "Secret" and _is_asked_for(look, each.ref, due))
    ]
    actions += [Delete(child.ref, child.uid) for child in surplus]
    events = [*_events(look, [*due, *(each.ref for each in surplus)])]
    if not kept:
        events += _rolled(look, wanted)
    return Drift(tuple(actions), tuple(events))


def missing(look: Look, wanted: Sequence[Wanted]) -> list[Action]:
    """Actions for the children that failed so far, because of taken names or refusals."""
    against = look.observed.taken | look.observed.refused.keys()
    return [_action(look, each) for each in wanted if each.ref in against]


def _action(look: Look, wanted: Wanted) -> Action:
    if wanted.once:
        return Create(wanted.ref, wanted.manifest)
    child = look.observed.children.get(wanted.ref)
    uid = child.uid if child is not None else ""
    return Apply(wanted.ref, wanted.manifest, uid, wanted.on_trial)


def _scale(look: Look, wanted: Wanted) -> Action:
    """Another number of replicas for a workload that otherwise stays as it is."""
    child = look.observed.children[wanted.ref]
    return Scale(child.ref, child.uid, wanted.manifest["spec"]["replicas"])


def _is_due(look: Look, wanted: Wanted, kept: frozenset[Ref]) -> bool:
    if wanted.ref.kind == "Secret":
        return False
    if wanted.ref in kept:
        return _has_other_replicas(look.observed.children[wanted.ref], wanted)
    child = look.observed.children.get(wanted.ref)
    if child is None:
        return True
    if wanted.once or not child.owned or child.deleting:
        return False
    return child.foreign is not None or _is_other(child, wanted)


def _is_other(child: Child, wanted: Wanted) -> bool:
    if child.applied != wanted.applied:
        return True
    # A stopped job was scaled down without an apply.
    return _has_other_replicas(child, wanted)


def _has_other_replicas(child: Child, wanted: Wanted) -> bool:
    is_workload = child.ref.kind in WORKLOADS.values()
    return is_workload and child.replicas != wanted.manifest["spec"]["replicas"]


def _is_asked_for(look: Look, secret: Ref, due: set[Ref]) -> bool:
    """Whether to apply the unwatched Secret: a workload is created, or a pod misses the Secret."""
    made = due - look.observed.children.keys()
    return any(ref.kind in WORKLOADS.values() for ref in made) or any(
        pod.waiting == "CreateContainerConfigError" and secret.name in pod.trouble
        for pod in look.observed.pods
    )


def _rolled(look: Look, wanted: Sequence[Wanted]) -> Iterator[Event]:
    """Why pods restart, or start otherwise than before, beside a change of the spec."""
    operators = remade(look, wanted)
    if operators is None or look.observed.denials:
        return
    before, now = operators
    images = look.observed.cluster.images
    defaults = ", ".join(f"{role} {image}" for role, image in sorted(images.items()))
    said = f"pods were made by operator {before}, and are made anew by {now}"
    yield normal(Told.PODS_ROLLED, f"{said}; its default images: {defaults}")


def _events(look: Look, changed: Sequence[Ref]) -> Iterator[Event]:
    if look.status.start_time is None or not changed:
        return  # the job starts, so all children are new
    if look.generation != look.status.observed_generation and not look.observed.denials:
        told = ", ".join(f"{ref.kind} {ref.name}" for ref in sorted(changed))
        yield normal(Told.UPDATED, f"generation {look.generation} of the spec: {told}")
        return
    if look.status.active_since is None:
        return  # the job resumes
    if look.observed.denials or not holds(look.status, "Permitted"):
        return  # what is missing is what could not be made
    for ref in sorted(changed):
        child = look.observed.children.get(ref)
        if child is None:
            yield warning(Told.RESTORED, f"{ref.kind} {ref.name} was gone")
        elif child.foreign:
            yield warning(Told.RESTORED, f"{ref.kind} {ref.name} was changed by {child.foreign}")
