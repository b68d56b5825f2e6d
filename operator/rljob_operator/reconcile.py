"""Reconciliation of a job: a pure, total, stateless function from observation to decision.

Its steps are a ladder: each either decides or passes the job on to the next. A change of anything
observed triggers the next pass; time alone does so only if a decision sets `requeue`.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from rljob.api.base import LARGEST_INT
from rljob.api.estimator import generates
from rljob.api.rljob import RLJobSpec
from rljob.api.status import RLJobStatus
from rljob_operator import names
from rljob_operator.action import Action, Decision, Delete, DeleteJob, Event, Finalizer, Keep
from rljob_operator.children import Want, children
from rljob_operator.conditions import Verdict, main_reason, of_the_pods, permitted, told
from rljob_operator.drift import drift, missing
from rljob_operator.events import changes, normal, warning
from rljob_operator.observed import Observed, Ref
from rljob_operator.policies import deadline, failure, rest, time_to_live
from rljob_operator.policies.acceptance import accept, obstacle
from rljob_operator.policies.kept import kept
from rljob_operator.policies.progress import finished, progressed
from rljob_operator.policies.replicas import rollout_replicas
from rljob_operator.policies.stuck import stuck
from rljob_operator.reason import Reason, Told
from rljob_operator.state import Look, State, find, holds, look, with_job

OURS = RLJobSpec.model_fields["managed_by"].default
_TAKEN_LOOK = timedelta(minutes=1)  # until the next check whether a taken name is free
_WINDOW_LOOK = timedelta(seconds=15)  # autoscaling by rate uses time windows


def reconcile(observed: Observed, now: datetime) -> Decision:
    """The decision about a job.

    Args:
        observed: the job and everything that belongs to it.
        now: the time, with time zone.
    """
    seen = look(observed, now)
    if seen.deleting:
        return _leave(seen)
    if not _is_ours(observed):
        return Decision()
    job, reason, message = accept(observed.manifest)
    status = seen.status.model_copy(update={"observed_generation": seen.generation})
    verdict: Verdict = ("False" if job is None else "True", reason, message)
    status = told(seen, status, "Accepted", verdict)
    if holds(status, "Succeeded") or holds(status, "Failed"):
        return _ended(seen if job is None else with_job(seen, job), status)
    if job is None:
        return _refused(seen, status)
    return _accepted(with_job(seen, job), status)


def _is_ours(observed: Observed) -> bool:
    spec = observed.manifest.get("spec")
    manager = spec.get("managedBy") if isinstance(spec, dict) else None
    return manager in (None, OURS)


def _leave(seen: Look) -> Decision:
    """The job is being deleted: stop its roles in order, then remove the finalizer."""
    if not seen.has_finalizer:
        return Decision()
    status = None
    events: list[Event] = []
    told_before = find(seen.status, "Permitted")
    if seen.observed.denials or (told_before is not None and told_before.status != "True"):
        after = permitted(seen, seen.status)
        status = after.model_dump(mode="json", by_alias=True)
        events += changes(seen.status, after)
    elif rest.at_rest(seen):
        hanging = ", ".join(pod.name for pod in rest.hanging(seen))
        if hanging:
            events.append(warning(Told.POD_HANGS, f"no longer waiting for {hanging}"))
    elif rest.pod_count(seen, "rollout"):
        said = "the job is being deleted: rollouts give back groups, then the trainer saves"
        events.append(normal(Told.DRAINING, said))
    if rest.at_rest(seen):
        return Decision((Finalizer(False),), status, tuple(events))
    return Decision(tuple(rest.to_rest(seen)), status, tuple(events), rest.again(seen))


def _ended(seen: Look | State, status: RLJobStatus) -> Decision:
    if status.completion_time is None:
        status = status.model_copy(update={"completion_time": seen.now})
    left = None
    if isinstance(seen, State):
        left = time_to_live.left(seen, seen.job.spec.run_policy)
    over: tuple[Action, ...] = ()
    if left is not None and left <= timedelta(0):
        left, over = None, (DeleteJob(),)
        if not seen.observed.denials:
            said = "spec.runPolicy.ttlSecondsAfterFinished has passed: deleting the job"
            return Decision(over, events=(normal(Told.TIME_TO_LIVE, said),))
    status = _shown(seen, status, _NOTHING)
    keeping, events = _keeping(seen, failed=holds(status, "Failed"))
    return _decided(
        seen,
        status,
        (*keeping, *_resting(seen), *over),
        events=events,
        again=(left, rest.again(seen)),
    )


def _keeping(seen: Look | State, *, failed: bool) -> tuple[list[Action], list[Event]]:
    """Pods of an ended job stay for their logs, where its spec can be read and says so."""
    if not isinstance(seen, State):
        return [], []
    pods = kept(seen, seen.job.spec.run_policy, failed=failed)
    said = "stopped; kubectl logs shows its last words until the job is deleted"
    return (
        [Keep(pod.name, pod.uid) for pod in pods],
        [
            normal(Told.POD_KEPT, f"{pod.name} is {said}")
            for pod in pods
            if not seen.observed.is_undone("change", Ref("Pod", pod.name))
        ],
    )


def _refused(seen: Look, status: RLJobStatus) -> Decision:
    """The spec can't be run: what was accepted before keeps running unchanged, and may end."""
    if holds(status, "Suspended"):
        return _paused(seen, status)
    want = Want(
        trainer=rest.pod_count(seen, "trainer"),
        rollout=rest.pod_count(seen, "rollout"),
        buffer=rest.pod_count(seen, "buffer"),
        router=rest.pod_count(seen, "router"),
    )
    if want == _NOTHING:
        return _decided(seen, status, ())
    status = progressed(seen, status, status.progress.rollouts)
    if finished(seen, None):
        return _succeeded(seen, status, want)
    return _decided(seen, _shown(seen, status, want), ())


def _accepted(state: State, status: RLJobStatus) -> Decision:
    spec = state.job.spec
    status = progressed(state, status, spec.schedule.rollouts)
    if finished(state, spec.schedule.rollouts):
        return _succeeded(state, status, _as_in_spec(state, state.status.rollout.desired))
    if spec.suspend:
        return _suspended(state, status)
    desired = rollout_replicas(state)
    want = _as_in_spec(state, desired.replicas)
    wanted = children(state.job, state.uid, want, state.observed.cluster)
    against = obstacle(state, wanted)
    if against is not None:
        refused = _refused(state, told(state, status, "Accepted", ("False", *against)))
        # Objects of others are not watched, so only a new attempt shows whether they are gone.
        tries = tuple(missing(state, wanted))
        return replace(refused, actions=tries, requeue=_TAKEN_LOOK) if tries else refused
    status = told(state, status, "Suspended", ("False", Reason.ACTIVE, ""))
    failures = failure.count(state)
    update = {
        "start_time": status.start_time or state.now,
        "active_since": status.active_since or state.now,
        "restarts": failures.restarts,
        "failures": failures.failures,
        "rollout": status.rollout.model_copy(
            update={"desired": desired.replicas, "autoscaling": dict(desired.memory)}
        ),
    }
    status = status.model_copy(update=update)
    if failures.reason is not None:
        return _failed(state, status, failures.reason, failures.message)
    left = deadline.left(state, spec.run_policy)
    if left is not None and left <= timedelta(0):
        limit = spec.run_policy.active_deadline_seconds
        said = f"active for longer than {limit} s (spec.runPolicy.activeDeadlineSeconds)"
        return _failed(state, status, Reason.DEADLINE, said)
    children_due = drift(state, wanted)
    broken = stuck(state)
    events = [*children_due.events]
    if failures.message:
        events.append(warning(Told.RESTARTED, failures.message))
    for pod in broken:
        if state.observed.is_undone("delete", Ref("Pod", pod.name)):
            continue
        said = f"{pod.name} has an outdated template and is not ready: deleted"
        events.append(normal(Told.POD_REPLACED, said))
    by_rate = spec.rollout.autoscaling.mode == "Rate" and state.report
    return _decided(
        state,
        _shown(state, status, want),
        (
            *_finalizer(state),
            *desired.actions,
            *children_due.actions,
            *(Delete(Ref("Pod", pod.name), pod.uid) for pod in broken),
        ),
        events=events,
        scaled=desired.reason,
        again=(left, _WINDOW_LOOK if by_rate else None),
    )


_NOTHING = Want(trainer=0, rollout=0, buffer=0, router=0)


def _as_in_spec(state: State, rollouts: int) -> Want:
    spec = state.job.spec
    if not generates(spec.algorithm):
        return Want(trainer=spec.trainer.replicas, rollout=0, buffer=0, router=0)
    return Want(
        trainer=spec.trainer.replicas,
        rollout=0 if spec.colocate else rollouts,
        buffer=1 if spec.buffer.external is None else 0,
        router=1 if spec.rollout.router.enabled else 0,
    )


def _suspended(state: State, status: RLJobStatus) -> Decision:
    said = "spec.suspend is true; checkpoints stay"
    return _paused(state, told(state, status, "Suspended", ("True", Reason.SUSPENDED, said)))


def _paused(seen: Look, status: RLJobStatus) -> Decision:
    status = _shown(seen, _inactive(seen, status), _NOTHING)
    return _decided(
        seen,
        status.model_copy(update={"phase": "Suspended"}),
        _resting(seen),
        again=(rest.again(seen),),
    )


def _succeeded(seen: Look, status: RLJobStatus, want: Want) -> Decision:
    """Record success before anything is stopped; the trainer keeps running until then."""
    said = f"trained on {status.progress.rollout} rollout batches"
    if not status.progress.rollouts:
        said = "evaluated; there was no rollout batch to train on"
    if status.progress.reward is not None:
        said += f", reward {status.progress.reward:.3f}"
    status = _end(seen, _shown(seen, status, want), "Succeeded", Reason.FINISHED, said)
    return _decided(seen, status, _finalizer(seen))


def _failed(state: State, status: RLJobStatus, reason: Reason, message: str) -> Decision:
    """Record the failure before anything is stopped: the pods are the evidence of it."""
    status = _end(state, _shown(state, status, _NOTHING), "Failed", reason, message)
    return _decided(state, status, _finalizer(state))


def _end(
    seen: Look,
    status: RLJobStatus,
    how: Literal["Succeeded", "Failed"],
    reason: Reason,
    message: str,
) -> RLJobStatus:
    update = {"phase": how, "completion_time": seen.now}
    status = _inactive(seen, status).model_copy(update=update)
    return told(seen, status, how, ("True", reason, message))


def _inactive(seen: Look, status: RLJobStatus) -> RLJobStatus:
    seconds = min(int(deadline.active(seen).total_seconds()), LARGEST_INT)
    return status.model_copy(update={"active_since": None, "active_seconds": seconds})


def _finalizer(seen: Look) -> tuple[Action, ...]:
    return () if seen.has_finalizer else (Finalizer(True),)


def _resting(seen: Look) -> tuple[Action, ...]:
    return (*_finalizer(seen), *rest.to_rest(seen))


def _shown(seen: Look, status: RLJobStatus, want: Want) -> RLJobStatus:
    """The status updated from pods and children, with the phase of an unfinished job."""
    selector = names.selector(seen.name, "rollout")
    rollout = status.rollout.model_copy(
        update={
            "replicas": len(seen.pods("rollout")),
            "ready": seen.ready("rollout"),
            "selector": ",".join(f"{key}={value}" for key, value in selector.items()),
        }
    )
    status = status.model_copy(update={"rollout": rollout})
    external = isinstance(seen, State) and seen.job.spec.buffer.external is not None
    status = of_the_pods(seen, status, want, external_buffer=external)
    if status.phase in ("Succeeded", "Failed"):
        return status
    return status.model_copy(update={"phase": _phase(seen, want)})


def _phase(seen: Look, want: Want) -> Literal["Pending", "Starting", "Running"]:
    if all(pod.over for pod in seen.observed.pods):
        return "Pending"
    ready = want.trainer and seen.ready("trainer") >= want.trainer
    telling = seen.report.get("phase") in ("running", "evaluating", "finished")
    # An operator that has just started has no report yet, while the job may be running.
    known = not seen.report and seen.status.phase == "Running"
    return "Running" if ready and (telling or known) else "Starting"


def _decided(
    seen: Look,
    status: RLJobStatus,
    actions: tuple[Action, ...],
    *,
    events: list[Event] | None = None,
    scaled: str = "",
    again: tuple[timedelta | None, ...] = (),
) -> Decision:
    status = permitted(seen, status)
    status = status.model_copy(update={"reason": main_reason(status)})
    return Decision(
        actions,
        status.model_dump(mode="json", by_alias=True),
        (*(events or ()), *changes(seen.status, status, scaled=scaled)),
        min((each for each in again if each is not None), default=None),
    )
