"""Autoscaling by rate: rollout replicas from the engine time spent per second of training.

Over a window, `engines x (1 - held share)` is the engine time that generation takes per second, and
`1 - waiting share` is the share of time in which the trainer does not wait for it. Their ratio is
the number of engines that generate as fast as the trainer trains. It does not depend on which of
the two is the bottleneck, nor on the current number of engines, so nothing is counted twice while a
step takes effect.

* Asynchronous: generation and training overlap. A trainer that may wait a share t of its time needs
  (1 - t) times that ratio; t is 0 by default.
* Synchronous: they take turns, and the trainer always waits while samples are generated. Generation
  may take the share t of a batch, so (1 - t) / t times the ratio is needed. By default t is 0.5,
  which makes the best use of all GPU hours if trainer and rollouts have equally many GPUs.

More engines do not help if a batch waits for its longest responses. Each step up is therefore
judged by the tokens trained on per second, and reverted if they grew less than the job's GPUs did:
it would cost more than it gains. If the user has set targetWaitShare, a step is reverted only if it
gained less than a quarter of what was possible.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rljob.api import RLJobSpec
from rljob_operator.policies.autoscale_memory import Change, Limit, Memory
from rljob_operator.policies.autoscale_sample import Sample

OLDEST = timedelta(seconds=60)  # older reports are not used
_DEAD_BAND = 0.1
_STEP_UP = 2
# Time for new replicas to start and catch up: large models load from a network disk.
_CATCH_UP = timedelta(minutes=15)
_VAIN = 0.25  # minimum share of the possible gain, with targetWaitShare
_JUDGED = 0.1  # possible gains below this can't be told from noise
_TRIAL = timedelta(hours=1)  # from a step without gain to the next trial; doubled each time
_MOST_DOUBLINGS = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of the policy.

    Args:
        replicas: desired replicas from now on.
        memory: state to pass to the next call.
        reason: human-readable reason for the number.
    """

    replicas: int
    memory: Memory
    reason: str


def scale(
    spec: RLJobSpec,
    replicas: int,
    memory: Memory,
    sample: Sample | None,
    now: datetime,
    *,
    floor: int,
) -> Verdict:
    """The desired rollout replicas in Rate mode.

    Args:
        spec: spec of the job.
        replicas: desired replicas so far.
        memory: state from the previous verdict.
        sample: the trainer's numbers; None: there are none, or no trainer runs.
        now: the time.
        floor: replicas that the gang starts with, a lower bound.
    """
    low, high = _bounds(spec, floor)
    bounded = min(max(replicas, low), high)
    if bounded != replicas:
        # A change by the user, not by the load: it does not count as a change of direction.
        return Verdict(bounded, Memory(), f"allowed are {low} to {high}")
    if sample is None or abs(now - sample.at) > OLDEST:
        return Verdict(replicas, memory, "no recent report of the trainer")
    memory = memory.see_engines(sample.engines >= replicas, now)
    why = _unsettled(replicas, memory, sample, now)
    if why:
        return Verdict(replicas, memory, why)
    memory = _judge(spec, memory, sample, now)
    wish = min(max(_wish(spec, replicas, memory, sample, now), low), high)
    memory = memory.wish(wish, max(_windows(spec)), now)
    wanted = _stabilised(spec, replicas, wish, memory, now)
    if wanted == replicas:
        return Verdict(replicas, memory, _numbers(sample))
    if memory.limit and wanted == memory.limit.replicas and wanted < replicas:
        why = f"more than {wanted} did not pay"
    else:
        why = _numbers(sample)
    memory = _changed(spec, memory, sample, Change(now, replicas, wanted))
    return Verdict(wanted, memory, why)


def _unsettled(replicas: int, memory: Memory, sample: Sample, now: datetime) -> str:
    """Why the sample does not reflect the current replicas; "" if it does."""
    assert memory.since is not None
    if not memory.complete and now - memory.since < _CATCH_UP:
        return f"{sample.engines} of {replicas} replicas are ready"
    if sample.engines > replicas:
        return f"{sample.engines} engines, {replicas} replicas: some are being removed"
    if sample.at - memory.since < sample.window:
        return "the trainer's window reaches back before the last change"
    return ""


def _stabilised(spec: RLJobSpec, replicas: int, wish: int, memory: Memory, now: datetime) -> int:
    """The replicas to set now, given the wish, earlier wishes and the last change."""
    rise, settle = _windows(spec)
    step = (wish > replicas) - (wish < replicas)
    last = memory.change
    if last and now - last.at < settle and step * (last.after - last.before) < 0:
        return replicas  # too early to reverse the last step
    # Do not ask for more while replicas are still missing.
    if step > 0 and memory.complete:
        return max(replicas, min(memory.least(rise, now, replicas), _STEP_UP * replicas))
    if step < 0:
        return min(replicas, memory.most(settle, now, replicas))
    return replicas


def _windows(spec: RLJobSpec) -> tuple[timedelta, timedelta]:
    autoscaling = spec.rollout.autoscaling
    return (
        timedelta(seconds=autoscaling.scale_up_stabilization_seconds),
        timedelta(seconds=autoscaling.scale_down_stabilization_seconds),
    )


def _bounds(spec: RLJobSpec, floor: int) -> tuple[int, int]:
    autoscaling = spec.rollout.autoscaling
    high = autoscaling.max_replicas or spec.rollout.replicas
    return min(max(autoscaling.min_replicas, floor), high), high


def _numbers(sample: Sample) -> str:
    return (
        f"trainer waits {sample.waiting_share:.0%} of the time, "
        f"rollouts are held back {sample.held_share:.0%}"
    )


def _wish(spec: RLJobSpec, replicas: int, memory: Memory, sample: Sample, now: datetime) -> int:
    """The number of replicas that the sample calls for, without the bounds of the spec."""
    needed = _needed(spec, replicas, sample)
    schedule = spec.schedule
    # More replicas than open groups would be idle.
    most = (
        (1 + schedule.max_staleness)
        * schedule.rollout_batch_size
        * schedule.update_weights_interval
    )
    if memory.limit and now < memory.limit.until:
        most = min(most, memory.limit.replicas)
    wish = replicas
    if abs(needed - replicas) > _DEAD_BAND * replicas:
        wish = math.ceil(min(needed, most))
    return min(wish, most)


def _needed(spec: RLJobSpec, replicas: int, sample: Sample) -> float:
    """Engines needed to keep the trainer's waiting at its target."""
    target = spec.rollout.autoscaling.target_wait_share
    work = sample.engines * (1 - sample.held_share)
    trained = 1 - sample.waiting_share
    if spec.schedule.max_staleness:
        pace, over = 1 - (target or 0.0), 1.0
    else:
        target = 0.5 if target is None else target
        pace, over = 1 - target, target
    below = trained * over
    if below > 0:
        return work * pace / below
    return math.inf if work > 0 else replicas  # if neither works, the number is not the reason


def _gain(spec: RLJobSpec, sample: Sample, step: float) -> float:
    """The possible speed-up of training with `step` times the engines, as a share."""
    waits, trains = sample.waiting_share, 1 - sample.waiting_share
    batch = max(trains, 1 / step) if spec.schedule.max_staleness else trains + waits / step
    return 1 / batch - 1


def _changed(spec: RLJobSpec, memory: Memory, sample: Sample, change: Change) -> Memory:
    if change.after > change.before and sample.tokens_per_second > 0:
        possible = _gain(spec, sample, change.after / change.before)
        if possible >= _JUDGED:
            change = replace(change, tokens_per_second=sample.tokens_per_second, possible=possible)
    return replace(memory, change=change, complete=False, since=change.at)


def _judge(spec: RLJobSpec, memory: Memory, sample: Sample, now: datetime) -> Memory:
    """Set a limit if the last step up gained too little; the sample is wholly after the step."""
    change = memory.change
    if change is None or change.tokens_per_second is None or not memory.complete:
        return memory
    gain = sample.tokens_per_second / change.tokens_per_second - 1
    memory = replace(memory, change=replace(change, tokens_per_second=None))
    if gain >= _worth(spec, change):
        return replace(memory, limit=None)
    vain = min(memory.limit.vain + 1, _MOST_DOUBLINGS) if memory.limit else 0
    return replace(memory, limit=Limit(change.before, now + _TRIAL * 2**vain, vain))


def _worth(spec: RLJobSpec, change: Change) -> float:
    """The minimum gain that justifies a step up."""
    if spec.rollout.autoscaling.target_wait_share is not None:
        return _VAIN * change.possible
    trainer = spec.trainer.replicas * spec.trainer.gpus_per_replica
    engine = spec.rollout.gpus_per_replica
    return (change.after - change.before) * engine / (trainer + change.before * engine)
