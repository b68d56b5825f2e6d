"""What must be done for a job, from what is seen of it: pure, total, without memory of its own.

A ladder: each rung either ends the look or leaves the job to the next.
"""

from datetime import datetime, timedelta
from typing import Literal

from rljob.api.rljob import RLJobSpec
from rljob.api.status import RLJobStatus
from rljob_operator import names
from rljob_operator.action import Action, Apply, Create, Decision, Delete, DeleteJob, Finalizer
from rljob_operator.children import Want, Wanted, children
from rljob_operator.conditions import of_the_pods, told
from rljob_operator.events import events
from rljob_operator.observed import Observed
from rljob_operator.policies import deadline, failure, time_to_live
from rljob_operator.policies.acceptance import accept
from rljob_operator.policies.progress import progressed
from rljob_operator.policies.replicas import rollout_replicas
from rljob_operator.policies.rest import at_rest, towards_rest
from rljob_operator.state import State, holds, last_status, metadata

OURS = RLJobSpec.model_fields["managed_by"].default
_WORKLOADS = ("StatefulSet", "Deployment")


def reconcile(observed: Observed, now: datetime) -> Decision:
    """The decision about a job.

    Args:
        observed: the job and all that belongs to it.
        now: the time, with its zone.
    """
    manifest = observed.manifest
    spec = manifest.get("spec")
    if isinstance(spec, dict) and spec.get("managedBy", OURS) != OURS:
        return Decision()
    meta = metadata(manifest)
    has_finalizer = names.FINALIZER in (meta.get("finalizers") or [])
    job, reason, message = accept(manifest)
    before = last_status(manifest)
    generation = int(meta.get("generation", 0))
    if job is None:
        if meta.get("deletionTimestamp"):
            return Decision((Finalizer(False),) if has_finalizer else ())
        status = told(
            before.model_copy(update={"observed_generation": generation}),
            "Accepted",
            "False",
            reason,
            message,
            generation=generation,
            now=now,
        )
        return _told(before, status, ())
    state = State(job, str(meta["uid"]), generation, observed, before, now)
    if meta.get("deletionTimestamp"):
        return _leave(state, has_finalizer=has_finalizer)
    actions: list[Action] = [] if has_finalizer else [Finalizer(True)]
    status = told(
        before.model_copy(update={"observed_generation": generation}),
        "Accepted",
        "True",
        reason,
        message,
        generation=generation,
        now=now,
    )
    if holds(before, "Succeeded") or holds(before, "Failed"):
        return _ended(state, status, actions)
    return _alive(state, status, actions)


def _leave(state: State, *, has_finalizer: bool) -> Decision:
    """The job is being deleted: its roles come to rest, then it and its children may go."""
    if not has_finalizer:
        return Decision()
    if at_rest(state.observed):
        return Decision((Finalizer(False),))
    return Decision(_lower(state, towards_rest(state.observed)))


def _ended(state: State, status: RLJobStatus, actions: list[Action]) -> Decision:
    left = time_to_live.left(state)
    if left is not None and left <= timedelta(0):
        return Decision((DeleteJob(),))
    want = towards_rest(state.observed)
    status = _seen(state, status, want)
    return _told(state.status, status, (*actions, *_lower(state, want)), requeue=left)


def _alive(state: State, status: RLJobStatus, actions: list[Action]) -> Decision:
    if state.job.spec.suspend:
        return _suspended(state, status, actions)
    status = _active(state, status)
    failures = failure.count(state)
    status = status.model_copy(
        update={"restarts": failures.restarts, "failures": failures.failures}
    )
    left = deadline.left(state)
    if failures.reason:
        return _failed(state, status, actions, failures.reason, failures.message)
    if left is not None and left <= timedelta(0):
        limit = state.job.spec.run_policy.active_deadline_seconds
        said = f"active for longer than {limit} s (spec.runPolicy.activeDeadlineSeconds)"
        return _failed(state, status, actions, "DeadlineExceeded", said)
    status = progressed(state, status)
    desired = rollout_replicas(state)
    spec = state.job.spec
    want = Want(
        trainer=spec.trainer.replicas,
        rollout=0 if spec.colocate else desired.replicas,
        buffer=1,
        router=1,
    )
    rollout = status.rollout.model_copy(
        update={"desired": desired.replicas, "autoscaling": dict(desired.memory)}
    )
    status = _seen(state, status.model_copy(update={"rollout": rollout}), want)
    if state.report.get("phase") == "finished":
        # Recorded first; the trainer stays until it is.
        status = _end(state, status, "Succeeded", "Finished", _finished(state))
    running = _children(state, want)
    return _told(
        state.status,
        status,
        (*actions, *desired.actions, *running),
        requeue=left,  # all else that matters brings a look by itself: job, pods, report
        scaled=desired.reason,
        restarted=failures.message,
    )


def _suspended(state: State, status: RLJobStatus, actions: list[Action]) -> Decision:
    want = towards_rest(state.observed)
    if state.status.active_since is not None:
        seconds = int(deadline.active(state).total_seconds())
        status = status.model_copy(update={"active_since": None, "active_seconds": seconds})
    status = _seen(state, status, want)
    status = told(
        status,
        "Suspended",
        "True",
        "Suspended",
        "spec.suspend is true; checkpoints stay",
        generation=state.generation,
        now=state.now,
    ).model_copy(update={"phase": "Suspended"})
    return _told(state.status, status, (*actions, *_lower(state, want)))


def _active(state: State, status: RLJobStatus) -> RLJobStatus:
    update = {
        "start_time": status.start_time or state.now,
        "active_since": status.active_since or state.now,
    }
    status = status.model_copy(update=update)
    return told(
        status,
        "Suspended",
        "False",
        "Active",
        "",
        generation=state.generation,
        now=state.now,
    )


def _failed(
    state: State, status: RLJobStatus, actions: list[Action], reason: str, message: str
) -> Decision:
    want = towards_rest(state.observed)
    status = _end(state, _seen(state, status, want), "Failed", reason, message)
    return _told(state.status, status, (*actions, *_lower(state, want)))


def _end(
    state: State,
    status: RLJobStatus,
    how: Literal["Succeeded", "Failed"],
    reason: str,
    message: str,
) -> RLJobStatus:
    seconds = int(deadline.active(state).total_seconds())
    update = {
        "phase": how,
        "completion_time": state.now,
        "active_since": None,
        "active_seconds": seconds,
    }
    return told(
        status.model_copy(update=update),
        how,
        "True",
        reason,
        message,
        generation=state.generation,
        now=state.now,
    )


def _finished(state: State) -> str:
    said = f"trained on {state.report.get('rollout')} rollout batches"
    reward = state.report.get("reward")
    return f"{said}, reward {reward:.3f}" if isinstance(reward, float) else said


def _seen(state: State, status: RLJobStatus, want: Want) -> RLJobStatus:
    """The status with what pods and children show; the phase of a job that goes on."""
    rollout = status.rollout.model_copy(
        update={
            "replicas": len(state.pods("rollout")),
            "ready": state.ready("rollout"),
            "selector": ",".join(
                f"{key}={value}"
                for key, value in names.selector(state.job.metadata.name, "rollout").items()
            ),
        }
    )
    status = of_the_pods(state, status.model_copy(update={"rollout": rollout}), want)
    if status.phase in ("Succeeded", "Failed"):
        return status
    ready = want.trainer and state.ready("trainer") >= want.trainer
    telling = state.report.get("phase") in ("running", "evaluating", "finished")
    phase = (
        "Running" if ready and telling else "Starting" if not at_rest(state.observed) else "Pending"
    )
    return status.model_copy(update={"phase": phase})


def _children(state: State, want: Want) -> list[Action]:
    """What makes the children as they are wanted."""
    wanted = children(state.job, state.uid, want, state.observed.cluster)
    actions = [*_applications(state, wanted)]
    known = {each.ref for each in wanted}
    actions += [
        Delete(ref, child.uid)
        for ref, child in state.observed.children.items()
        if ref not in known and child.owned and not child.deleting
    ]
    return actions


def _lower(state: State, want: Want) -> tuple[Action, ...]:
    """What brings the workloads that are there to fewer replicas; nothing is made anew."""
    wanted = children(state.job, state.uid, want, state.observed.cluster)
    there = [
        each
        for each in wanted
        if each.ref.kind in _WORKLOADS
        and (child := state.observed.children.get(each.ref)) is not None
        and child.replicas != each.manifest["spec"]["replicas"]
    ]
    return tuple(_applications(state, there))


def _applications(state: State, wanted: list[Wanted]) -> list[Action]:
    due = [each for each in wanted if _is_due(state, each)]
    # It is not watched: it goes along with what needs it.
    needs_keys = any(each.ref.kind in _WORKLOADS for each in due) or any(
        pod.waiting == "CreateContainerConfigError" for pod in state.observed.pods
    )
    return [
        Create(each.ref, each.manifest) if each.once else Apply(each.ref, each.manifest)
        for each in wanted
        if each in due or (each.ref.kind == "Secret" and needs_keys)
    ]


def _is_due(state: State, wanted: Wanted) -> bool:
    if wanted.ref.kind == "Secret":
        return False
    child = state.observed.children.get(wanted.ref)
    if child is None:
        return True
    if wanted.once or not child.owned or child.deleting:
        return False
    return child.applied != wanted.applied or child.foreign is not None


def _told(
    before: RLJobStatus,
    status: RLJobStatus,
    actions: tuple[Action, ...],
    *,
    requeue: timedelta | None = None,
    scaled: str = "",
    restarted: str = "",
) -> Decision:
    return Decision(
        actions,
        status.model_dump(mode="json", by_alias=True),
        events(before, status, scaled=scaled, restarted=restarted),
        requeue,
    )
