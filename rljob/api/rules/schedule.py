"""Batches, staleness and intervals."""

from collections.abc import Iterator

from rljob.api.problem import Problem, problem
from rljob.api.rljob import RLJob


def batch_equation(job: RLJob) -> Iterator[Problem]:
    """`rolloutBatchSize` x `samplesPerPrompt` = `globalBatchSize` x `stepsPerRollout`."""
    schedule = job.spec.schedule
    prompts, steps = schedule.rollout_batch_size, schedule.steps_per_rollout
    per_prompt = job.spec.algorithm.samples_per_prompt
    samples = prompts * per_prompt
    made = f"= rolloutBatchSize {prompts} x samplesPerPrompt {per_prompt}"
    if samples % steps:
        yield problem(
            "spec.schedule.stepsPerRollout", steps, f"a divisor of {samples}", f"{samples} {made}"
        )
    elif schedule.global_batch_size * steps != samples:
        yield problem(
            "spec.schedule.globalBatchSize",
            schedule.global_batch_size,
            str(samples // steps),
            f"{made} / stepsPerRollout {steps}",
        )


def over_sampling_fills(job: RLJob) -> Iterator[Problem]:
    """`overSamplingBatchSize` is at least `rolloutBatchSize`."""
    wanted = job.spec.schedule.rollout_batch_size
    size = job.spec.schedule.over_sampling_batch_size
    if size is not None and size < wanted:
        yield problem(
            "spec.schedule.overSamplingBatchSize",
            size,
            f"at least {wanted}",
            "rolloutBatchSize; fewer prompts never fill it",
        )


def over_sampling_has_a_use(job: RLJob) -> Iterator[Problem]:
    """`overSamplingBatchSize` above `rolloutBatchSize` needs a filter or `partial`."""
    wanted = job.spec.schedule.rollout_batch_size
    size = job.spec.schedule.over_sampling_batch_size
    rollout = job.spec.rollout
    if size is None or size <= wanted:
        return
    if not (job.spec.algorithm.filter or rollout.buffer_filter or rollout.partial):
        yield problem(
            "spec.schedule.overSamplingBatchSize",
            size,
            str(wanted),
            "= rolloutBatchSize; more needs spec.algorithm.filter, spec.rollout.bufferFilter or "
            "spec.rollout.partial, for otherwise no group is ever dropped",
        )


def colocated_is_synchronous(job: RLJob) -> Iterator[Problem]:
    """`maxStaleness` is 0 with `colocate`: engines and trainer take turns."""
    if job.spec.colocate and job.spec.schedule.max_staleness:
        yield problem(
            "spec.schedule.maxStaleness",
            job.spec.schedule.max_staleness,
            "0",
            "spec.colocate: engines and trainer take turns on the same GPUs",
        )


def publishes_at_all(job: RLJob) -> Iterator[Problem]:
    """`updateWeightsInterval` is at most `rollouts`: the engines get at least one update."""
    schedule = job.spec.schedule
    if schedule.update_weights_interval > schedule.rollouts:
        yield problem(
            "spec.schedule.updateWeightsInterval",
            schedule.update_weights_interval,
            f"at most {schedule.rollouts}",
            "rollouts; otherwise the engines never get an update",
        )


def evaluates_what_it_published(job: RLJob) -> Iterator[Problem]:
    """`evalInterval` is a multiple of `updateWeightsInterval`, and needs an `evaluation`."""
    interval = job.spec.schedule.eval_interval
    publish = job.spec.schedule.update_weights_interval
    if interval is None:
        return
    if interval % publish:
        yield problem(
            "spec.schedule.evalInterval",
            interval,
            f"a multiple of {publish}",
            "updateWeightsInterval; the engines have no newer weights to evaluate",
        )
    if not job.spec.evaluation:
        yield problem(
            "spec.schedule.evalInterval",
            interval,
            "null",
            "spec.evaluation lists no data set",
        )


RULES = (
    batch_equation,
    over_sampling_fills,
    over_sampling_has_a_use,
    colocated_is_synchronous,
    publishes_at_all,
    evaluates_what_it_published,
)
