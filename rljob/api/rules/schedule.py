"""Batches, staleness and intervals."""

from collections.abc import Iterator

from rljob.api.estimator import generates
from rljob.api.problem import Path, Problem, problem
from rljob.api.rljob import RLJob
from rljob.api.rules.cel import Cel, twin

SAMPLES = "self.schedule.rolloutBatchSize * self.algorithm.samplesPerPrompt"
SEVERAL_ANSWERS = "self.algorithm.estimator == 'sft' && self.algorithm.samplesPerPrompt > 1"
MADE = (
    "= rolloutBatchSize {self.schedule.rolloutBatchSize} x samplesPerPrompt "
    "{self.algorithm.samplesPerPrompt}"
)
UNPUBLISHED = "has(e.interval) && e.interval % self.schedule.updateWeightsInterval != 0"


@twin(
    Cel(
        at="spec",
        rule=f"{SEVERAL_ANSWERS} || self.schedule.stepsPerRollout < 1 "
        f"|| {SAMPLES} % self.schedule.stepsPerRollout == 0",
        message=f"found {{self.schedule.stepsPerRollout}}, allowed a divisor of {{{SAMPLES}}} "
        f"({{{SAMPLES}}} {MADE})",
        field="schedule.stepsPerRollout",
    ),
    Cel(
        at="spec",
        rule=f"{SEVERAL_ANSWERS} || self.schedule.stepsPerRollout < 1 "
        f"|| {SAMPLES} % self.schedule.stepsPerRollout != 0 "
        f"|| {SAMPLES} == self.schedule.globalBatchSize * self.schedule.stepsPerRollout",
        message="found {self.schedule.globalBatchSize}, allowed "
        f"{{{SAMPLES} / self.schedule.stepsPerRollout}} ({MADE} / stepsPerRollout "
        "{self.schedule.stepsPerRollout})",
        field="schedule.globalBatchSize",
    ),
)
def batch_equation(job: RLJob) -> Iterator[Problem]:
    """`rolloutBatchSize` x `samplesPerPrompt` = `globalBatchSize` x `stepsPerRollout`."""
    schedule = job.spec.schedule
    prompts, steps = schedule.rollout_batch_size, schedule.steps_per_rollout
    per_prompt = job.spec.algorithm.samples_per_prompt
    samples = prompts * per_prompt
    if per_prompt > 1 and not generates(job.spec.algorithm):
        return  # `one_answer_per_prompt` tells it; with that mended the equation may hold
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


@twin(
    Cel(
        at="spec.schedule",
        rule="!has(self.overSamplingBatchSize) "
        "|| self.overSamplingBatchSize >= self.rolloutBatchSize",
        message="found {self.overSamplingBatchSize}, allowed at least {self.rolloutBatchSize} "
        "(rolloutBatchSize; fewer prompts never fill it)",
        field="overSamplingBatchSize",
    )
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


@twin(
    Cel(
        at="spec",
        rule="!has(self.schedule.overSamplingBatchSize) "
        "|| self.schedule.overSamplingBatchSize <= self.schedule.rolloutBatchSize "
        "|| has(self.algorithm.filter) || has(self.rollout.bufferFilter) || self.rollout.partial",
        message="found {self.schedule.overSamplingBatchSize}, allowed "
        "{self.schedule.rolloutBatchSize} (= rolloutBatchSize; more needs spec.algorithm.filter, "
        "spec.rollout.bufferFilter or spec.rollout.partial; otherwise no group is ever dropped)",
        field="schedule.overSamplingBatchSize",
    )
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
            "spec.rollout.partial; otherwise no group is ever dropped",
        )


@twin(
    Cel(
        at="spec",
        rule="!self.colocate || self.schedule.maxStaleness == 0",
        message="found {self.schedule.maxStaleness}, allowed 0 (spec.colocate: engines and "
        "trainer take turns on the same GPUs)",
        field="schedule.maxStaleness",
    )
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


@twin(
    Cel(
        at="spec",
        rule="!has(self.rollout.bufferFilter) || self.schedule.maxStaleness > 0 "
        "&& self.schedule.maxStaleness + self.schedule.updateWeightsInterval "
        "+ self.schedule.maxUses > 3",
        message='found "{self.rollout.bufferFilter}", allowed null (with maxStaleness '
        "{self.schedule.maxStaleness}, updateWeightsInterval "
        "{self.schedule.updateWeightsInterval} and maxUses {self.schedule.maxUses} no group can "
        "wait for a later batch; a filter needs a maxStaleness of at least 2, or of 1 if one of "
        "the others is above 1)",
        field="rollout.bufferFilter",
        reason="FieldValueForbidden",
    )
)
def filter_has_a_choice(job: RLJob) -> Iterator[Problem]:
    """`bufferFilter` needs a `maxStaleness` under which groups can wait for a later batch."""
    schedule, chosen = job.spec.schedule, job.spec.rollout.buffer_filter
    staleness, interval = schedule.max_staleness, schedule.update_weights_interval
    if chosen and not (staleness > 0 and staleness + interval + schedule.max_uses > 3):
        yield problem(
            "spec.rollout.bufferFilter",
            chosen,
            "null",
            f"with maxStaleness {staleness}, updateWeightsInterval {interval} and maxUses "
            f"{schedule.max_uses} no group can wait for a later batch; a filter needs a "
            "maxStaleness of at least 2, or of 1 if one of the others is above 1",
        )


@twin(
    Cel(
        at="spec.schedule",
        rule="self.maxUses <= (1 + self.maxStaleness) * self.updateWeightsInterval",
        message="found {self.maxUses}, allowed at most "
        "{(1 + self.maxStaleness) * self.updateWeightsInterval} (a group's batches within "
        "maxStaleness {self.maxStaleness} at updateWeightsInterval {self.updateWeightsInterval})",
        field="maxUses",
    )
)
def uses_are_within_the_bound(job: RLJob) -> Iterator[Problem]:
    """`maxUses` is at most the number of batches for which a group is within `maxStaleness`."""
    schedule = job.spec.schedule
    batches = (1 + schedule.max_staleness) * schedule.update_weights_interval
    if schedule.max_uses > batches:
        yield problem(
            "spec.schedule.maxUses",
            schedule.max_uses,
            f"at most {batches}",
            f"a group's batches within maxStaleness {schedule.max_staleness} at "
            f"updateWeightsInterval {schedule.update_weights_interval}",
        )


@twin(
    Cel(
        at="spec.schedule",
        rule="self.rollouts < 1 || self.updateWeightsInterval <= self.rollouts",
        message="found {self.updateWeightsInterval}, allowed at most {self.rollouts} (rollouts; "
        "otherwise the engines never get an update)",
        field="updateWeightsInterval",
    )
)
def publishes_at_all(job: RLJob) -> Iterator[Problem]:
    """`updateWeightsInterval` is at most `rollouts`, unless that is 0."""
    schedule = job.spec.schedule
    if schedule.trains and schedule.update_weights_interval > schedule.rollouts:
        yield problem(
            "spec.schedule.updateWeightsInterval",
            schedule.update_weights_interval,
            f"at most {schedule.rollouts}",
            "rollouts; otherwise the engines never get an update",
        )


@twin(
    Cel(
        at="spec.schedule",
        rule="!has(self.evalInterval) || self.updateWeightsInterval < 1 "
        "|| self.evalInterval % self.updateWeightsInterval == 0",
        message="found {self.evalInterval}, allowed a multiple of {self.updateWeightsInterval} "
        "(updateWeightsInterval; the engines have no newer weights to evaluate)",
        field="evalInterval",
    ),
    Cel(
        at="spec",
        rule="!has(self.schedule.evalInterval) || self.evaluation.size() > 0",
        message="found {self.schedule.evalInterval}, allowed null (spec.evaluation lists no data "
        "set)",
        field="schedule.evalInterval",
        reason="FieldValueForbidden",
    ),
    Cel(
        at="spec",
        rule="self.schedule.updateWeightsInterval < 1 "
        f"|| !self.evaluation.exists(e, {UNPUBLISHED})",
        message=f"found {{self.evaluation.filter(e, {UNPUBLISHED})[0].interval}}, allowed a "
        "multiple of {self.schedule.updateWeightsInterval} (updateWeightsInterval; the engines "
        "have no newer weights to evaluate)",
        field="evaluation",
    ),
)
def evaluates_what_it_published(job: RLJob) -> Iterator[Problem]:
    """Evaluation intervals are multiples of `updateWeightsInterval`, and need an `evaluation`."""
    interval = job.spec.schedule.eval_interval
    publish = job.spec.schedule.update_weights_interval
    intervals: list[tuple[Path, int | None]] = [(("spec", "schedule", "evalInterval"), interval)]
    intervals += [
        (("spec", "evaluation", index, "interval"), evaluation.interval)
        for index, evaluation in enumerate(job.spec.evaluation)
    ]
    for path, each in intervals:
        if each is not None and each % publish:
            yield problem(
                path,
                each,
                f"a multiple of {publish}",
                "updateWeightsInterval; the engines have no newer weights to evaluate",
            )
    if interval is not None and not job.spec.evaluation:
        yield problem(
            "spec.schedule.evalInterval",
            interval,
            "null",
            "spec.evaluation lists no data set",
        )


@twin(
    Cel(
        at="spec",
        rule="self.schedule.rollouts != 0 || self.algorithm.estimator != 'sft'",
        message="found 0, allowed at least 1 (estimator is sft: nothing generates responses to "
        "evaluate)",
        field="schedule.rollouts",
    ),
    Cel(
        at="spec",
        rule="self.schedule.rollouts != 0 || self.algorithm.estimator == 'sft' "
        "|| self.evaluation.size() > 0",
        message="found 0, allowed at least 1 (spec.evaluation lists no data set: there is nothing "
        "to do)",
        field="schedule.rollouts",
    ),
)
def evaluates_something(job: RLJob) -> Iterator[Problem]:
    """`rollouts` 0 needs an `evaluation`, and an estimator other than `sft`."""
    spec = job.spec
    if spec.schedule.trains:
        return
    why = "spec.evaluation lists no data set: there is nothing to do"
    if not generates(spec.algorithm):
        why = "estimator is sft: nothing generates responses to evaluate"
    elif spec.evaluation:
        return
    yield problem("spec.schedule.rollouts", 0, "at least 1", why)


RULES = (
    batch_equation,
    over_sampling_fills,
    over_sampling_has_a_use,
    colocated_is_synchronous,
    filter_has_a_choice,
    uses_are_within_the_bound,
    publishes_at_all,
    evaluates_something,
    evaluates_what_it_published,
)
