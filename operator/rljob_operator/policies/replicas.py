"""The number of rollout replicas: as in the spec, or by rate."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rljob.api.estimator import generates
from rljob_operator.action import Action
from rljob_operator.children.pod_group import least_rollouts
from rljob_operator.policies.autoscale import scale
from rljob_operator.policies.autoscale_memory import Memory
from rljob_operator.policies.autoscale_sample import Sample
from rljob_operator.policies.drain import drain, engine_load
from rljob_operator.policies.rest import pod_count
from rljob_operator.state import State


@dataclass(frozen=True, slots=True)
class Replicas:
    """The result of the policy.

    Args:
        replicas: desired replicas now.
        memory: state of autoscaling, as JSON.
        reason: why the number changes.
        actions: actions to perform before the change.
    """

    replicas: int
    memory: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    actions: tuple[Action, ...] = ()


def rollout_replicas(state: State) -> Replicas:
    """The desired replicas now."""
    verdict = _verdict(state)
    load = engine_load(state.observed.report)
    # Only if the Deployment is about to be scaled down; a temporary surplus during a rolling update
    # is not marked.
    lowered = pod_count(state, "rollout") > verdict.replicas
    marks = drain(state.observed.pods, verdict.replicas, load) if lowered else ()
    return replace(verdict, actions=marks)


def _verdict(state: State) -> Replicas:
    rollout = state.job.spec.rollout
    if not generates(state.job.spec.algorithm):
        return Replicas(0, reason="spec.algorithm.estimator")
    if rollout.autoscaling.mode != "Rate":
        return Replicas(rollout.replicas, reason="spec.rollout.replicas")
    verdict = scale(
        state.job.spec,
        state.status.rollout.desired or rollout.replicas,
        Memory.from_json(state.status.rollout.autoscaling),
        Sample.of(state.observed.report),
        state.now,
        floor=least_rollouts(state.job) if state.job.spec.gang.scheduler != "none" else 1,
    )
    return Replicas(verdict.replicas, verdict.memory.to_json(), verdict.reason)
