"""Sampling, replicas and the transport of weights."""

from collections.abc import Iterator
from dataclasses import replace
from keyword import iskeyword

from rljob.api.evaluation import EvaluationSamplingSpec
from rljob.api.problem import Path, Problem, problem, show
from rljob.api.reward_place import rewards_of
from rljob.api.rljob import RLJob
from rljob.api.rollout import SamplingSpec
from rljob.api.rules.cel import Cel, twin
from rljob.api.rules.repeated import repeated

_TOP_K = Cel(
    at="spec.rollout.sampling",
    rule="!has(self.topK) || self.topK != 0",
    message="found 0, allowed -1 (all) or at least 1",
    field="topK",
)


def _samplings(job: RLJob) -> list[tuple[Path, SamplingSpec | EvaluationSamplingSpec]]:
    """The sampling of training and of each evaluation."""
    return [
        (("spec", "rollout", "sampling"), job.spec.rollout.sampling),
        *(
            (("spec", "evaluation", index, "sampling"), evaluation.sampling)
            for index, evaluation in enumerate(job.spec.evaluation)
        ),
    ]


@twin(_TOP_K, replace(_TOP_K, at="spec.evaluation[].sampling"))
def top_k_is_all_or_some(job: RLJob) -> Iterator[Problem]:
    """`sampling.topK` is -1 or at least 1."""
    for path, sampling in _samplings(job):
        if sampling.top_k == 0:
            yield problem((*path, "topK"), 0, "-1 (all) or at least 1")


def stops_differ(job: RLJob) -> Iterator[Problem]:
    """`sampling.stop` and `sampling.stopTokenIds` name each stop once."""
    for path, sampling in _samplings(job):
        yield from repeated((*path, "stop"), sampling.stop or [])
        yield from repeated((*path, "stopTokenIds"), sampling.stop_token_ids or [])


_TRAINING_DOES_NOT = (
    "self.rollout.sampling.ignoreEos "
    "&& self.rollout.sampling.stop.size() + self.rollout.sampling.stopTokenIds.size() > 0"
)
_NEVER_ENDS = " && ".join(
    (
        "(has(e.sampling.ignoreEos) ? e.sampling.ignoreEos : self.rollout.sampling.ignoreEos)",
        "(has(e.sampling.stop) ? e.sampling.stop : self.rollout.sampling.stop).size() "
        "+ (has(e.sampling.stopTokenIds) ? e.sampling.stopTokenIds "
        ": self.rollout.sampling.stopTokenIds).size() > 0",
    )
)
_ENDS = "stop or stopTokenIds end a response"
_AS_IN_TRAINING = f"{_ENDS}; unset fields are as in spec.rollout.sampling"


@twin(
    Cel(
        at="spec.rollout.sampling",
        rule="!self.ignoreEos || self.stop.size() + self.stopTokenIds.size() == 0",
        message=f"found true, allowed false ({_ENDS})",
        field="ignoreEos",
        reason="FieldValueForbidden",
    ),
    Cel(
        at="spec",
        rule=f"{_TRAINING_DOES_NOT} || !self.evaluation.exists(e, {_NEVER_ENDS})",
        message=f"found true, allowed false ({_AS_IN_TRAINING})",
        field="evaluation",
        reason="FieldValueForbidden",
    ),
)
def responses_can_end(job: RLJob) -> Iterator[Problem]:
    """`sampling.ignoreEos` fixes the length, so `stop` and `stopTokenIds` must be empty."""
    training = job.spec.rollout.sampling
    if training.ignore_eos and (training.stop or training.stop_token_ids):
        yield problem("spec.rollout.sampling.ignoreEos", True, "false", _ENDS)
        return
    for index, evaluation in enumerate(job.spec.evaluation):
        sampling = evaluation.sampling.over(training)
        if sampling["ignore_eos"] and (sampling["stop"] or sampling["stop_token_ids"]):
            path = ("spec", "evaluation", index, "sampling", "ignoreEos")
            yield problem(path, True, "false", _AS_IN_TRAINING)


@twin(
    Cel(
        at="spec",
        rule="!has(self.rollout.episodes.contextTokens) "
        "|| self.rollout.episodes.contextTokens > self.data.maxPromptTokens",
        message="found {self.rollout.episodes.contextTokens}, allowed more than "
        "{self.data.maxPromptTokens} (data.maxPromptTokens)",
        field="rollout.episodes.contextTokens",
    )
)
def episodes_have_room(job: RLJob) -> Iterator[Problem]:
    """`episodes.contextTokens` leaves room for a turn after the longest prompt."""
    tokens, prompt = job.spec.rollout.episodes.context_tokens, job.spec.data.max_prompt_tokens
    if tokens is not None and tokens <= prompt:
        yield problem(
            "spec.rollout.episodes.contextTokens",
            tokens,
            f"more than {prompt}",
            "data.maxPromptTokens",
        )


def slime_arguments(job: RLJob) -> Iterator[Problem]:
    """`rollout.slimeArguments` has names of Python, and a function of the user's to read them."""
    spec = job.spec
    given = spec.rollout.slime_arguments
    hooks = (
        spec.rollout.generate,
        spec.rollout.buffer_filter,
        spec.algorithm.filter,
        spec.data.source,
        *(reward.type for _, reward in rewards_of(job)),
    )
    if given and not any(hook is not None and ":" in hook for hook in hooks):
        yield Problem(
            ("spec", "rollout", "slimeArguments"),
            show(given),
            "an empty mapping",
            "no function of yours reads them: rollout.generate, rollout.bufferFilter, "
            "algorithm.filter, data.source, a reward",
        )
    for name in given:
        if not name.isidentifier() or iskeyword(name):
            yield Problem(
                ("spec", "rollout", "slimeArguments", name),
                message=f"found the name {name!r}, allowed a Python identifier",
            )


@twin(
    Cel(
        at="spec.rollout.autoscaling",
        rule="!has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
        message="found {self.minReplicas}, allowed at most {self.maxReplicas} (maxReplicas)",
        field="minReplicas",
    ),
    Cel(
        at="spec.rollout",
        rule="self.autoscaling.mode == 'Off' || (has(self.autoscaling.maxReplicas) "
        "? self.autoscaling.minReplicas > self.autoscaling.maxReplicas "
        "|| (self.autoscaling.minReplicas <= self.replicas "
        "&& self.replicas <= self.autoscaling.maxReplicas) "
        ": self.autoscaling.minReplicas <= self.replicas)",
        message="found {self.replicas}, allowed {has(self.autoscaling.maxReplicas) "
        "? 'from %d to %d'.format([self.autoscaling.minReplicas, self.autoscaling.maxReplicas]) "
        ": 'at least %d'.format([self.autoscaling.minReplicas])} (minReplicas and maxReplicas of "
        "spec.rollout.autoscaling)",
        field="replicas",
    ),
)
def autoscaling_bounds(job: RLJob) -> Iterator[Problem]:
    """`minReplicas` <= `rollout.replicas` <= `maxReplicas` if autoscaling is on."""
    rollout = job.spec.rollout
    low, high = rollout.autoscaling.min_replicas, rollout.autoscaling.max_replicas
    if high is not None and low > high:
        yield problem("spec.rollout.autoscaling.minReplicas", low, f"at most {high}", "maxReplicas")
        return
    if rollout.autoscaling.mode == "Off":
        return
    if not low <= rollout.replicas <= (high or rollout.replicas):
        yield problem(
            "spec.rollout.replicas",
            rollout.replicas,
            f"from {low} to {high}" if high else f"at least {low}",
            "minReplicas and maxReplicas of spec.rollout.autoscaling",
        )


@twin(
    Cel(
        at="spec",
        rule="!self.colocate || self.rollout.autoscaling.mode == 'Off'",
        message='found "{self.rollout.autoscaling.mode}", allowed Off (spec.colocate: the engines '
        "share the trainer's GPUs)",
        field="rollout.autoscaling.mode",
    )
)
def colocated_engines_stay(job: RLJob) -> Iterator[Problem]:
    """`autoscaling.mode` is Off with `colocate`."""
    mode = job.spec.rollout.autoscaling.mode
    if job.spec.colocate and mode != "Off":
        yield problem(
            "spec.rollout.autoscaling.mode",
            mode,
            "Off",
            "spec.colocate: the engines share the trainer's GPUs",
        )


@twin(
    Cel(
        at="spec",
        rule="self.colocate || self.device == 'cpu' || self.weights.transport != 'ipc'",
        message='found "ipc", allowed broadcast or disk (spec.colocate is false; ipc shares '
        "memory on one GPU or, with spec.device cpu, on one machine)",
        field="weights.transport",
    ),
    Cel(
        at="spec",
        rule="!self.colocate || self.weights.transport != 'broadcast'",
        message='found "broadcast", allowed ipc or disk (spec.colocate: NCCL can\'t join two '
        "processes on one GPU)",
        field="weights.transport",
    ),
)
def transport_reaches_the_engines(job: RLJob) -> Iterator[Problem]:
    """`weights.transport` ipc needs `colocate` or `device: cpu`; broadcast can't be colocated."""
    transport = job.spec.weights.transport
    if transport == "ipc" and not job.spec.colocate and job.spec.device != "cpu":
        yield problem(
            "spec.weights.transport",
            transport,
            "broadcast or disk",
            "spec.colocate is false; ipc shares memory on one GPU or, with spec.device cpu, on one "
            "machine",
        )
    if transport == "broadcast" and job.spec.colocate:
        yield problem(
            "spec.weights.transport",
            transport,
            "ipc or disk",
            "spec.colocate: NCCL can't join two processes on one GPU",
        )


@twin(
    Cel(
        at="spec.weights",
        rule="self.fullInterval == 1 || self.transport == 'disk'",
        message="found {self.fullInterval}, allowed 1 (transport is {self.transport}; only disk "
        "supports deltas)",
        field="fullInterval",
        reason="FieldValueForbidden",
    )
)
def only_a_disk_has_deltas(job: RLJob) -> Iterator[Problem]:
    """`weights.fullInterval` above 1 needs `weights.transport` disk."""
    weights = job.spec.weights
    if weights.full_interval > 1 and weights.transport != "disk":
        yield problem(
            "spec.weights.fullInterval",
            weights.full_interval,
            "1",
            f"transport is {weights.transport}; only disk supports deltas",
        )


@twin(
    Cel(
        at="spec",
        rule="!self.rollout.partial || self.weights.pauseMode != 'abort'",
        message='found "abort", allowed retract or in_place (spec.rollout.partial keeps the '
        "tokens of interrupted generations)",
        field="weights.pauseMode",
    )
)
def partial_needs_tokens(job: RLJob) -> Iterator[Problem]:
    """`partial` excludes `pauseMode` abort, which keeps no tokens."""
    if job.spec.rollout.partial and job.spec.weights.pause_mode == "abort":
        yield problem(
            "spec.weights.pauseMode",
            "abort",
            "retract or in_place",
            "spec.rollout.partial keeps the tokens of interrupted generations",
        )


RULES = (
    top_k_is_all_or_some,
    stops_differ,
    responses_can_end,
    episodes_have_room,
    slime_arguments,
    autoscaling_bounds,
    colocated_engines_stay,
    transport_reaches_the_engines,
    only_a_disk_has_deltas,
    partial_needs_tokens,
)
