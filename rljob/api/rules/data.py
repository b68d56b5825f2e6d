"""Prompts and evaluations."""

from collections.abc import Iterator

from rljob.api.problem import Problem, problem, show
from rljob.api.rljob import RLJob
from rljob.api.rules.cel import Cel, twin
from rljob.api.rules.repeated import repeated

# Arguments of transformers' `apply_chat_template` itself, not of the template.
_RENDERING = (
    "conversation",
    "chat_template",
    "add_generation_prompt",
    "continue_final_message",
    "tokenize",
    "padding",
    "truncation",
    "max_length",
    "return_tensors",
    "return_dict",
    "return_assistant_tokens_mask",
    "tokenizer_kwargs",
)


@twin(
    Cel(
        at="spec.data",
        rule="self.prompts.size() > 0 || has(self.source)",
        message="found an empty list, allowed at least one JSON Lines file (or spec.data.source)",
        field="prompts",
        reason="FieldValueRequired",
    )
)
def prompts_come_from_somewhere(job: RLJob) -> Iterator[Problem]:
    """`data.prompts` lists a file, unless `data.source` is given."""
    if not job.spec.data.prompts and job.spec.data.source is None:
        yield problem(
            "spec.data.prompts",
            [],
            "at least one JSON Lines file",
            "or spec.data.source",
        )


@twin(
    Cel(
        at="spec.data",
        rule="!has(self.shuffleBlock) || self.shuffle",
        message="found {self.shuffleBlock}, allowed null (shuffle is false)",
        field="shuffleBlock",
    )
)
def blocks_are_shuffled(job: RLJob) -> Iterator[Problem]:
    """`data.shuffleBlock` needs `data.shuffle`."""
    data = job.spec.data
    if data.shuffle_block is not None and not data.shuffle:
        yield problem("spec.data.shuffleBlock", data.shuffle_block, "null", "shuffle is false")


def template_arguments(job: RLJob) -> Iterator[Problem]:
    """`data.chatTemplateKwargs` needs `data.applyChatTemplate`, and has no rendering options."""
    data = job.spec.data
    if data.chat_template_kwargs and not data.apply_chat_template:
        yield Problem(
            ("spec", "data", "chatTemplateKwargs"),
            show(data.chat_template_kwargs),
            "an empty mapping",
            "applyChatTemplate is false",
        )
    for name in data.chat_template_kwargs:
        if name in _RENDERING:
            yield Problem(
                ("spec", "data", "chatTemplateKwargs", name),
                message="not an argument of the template: rljob sets it itself; leave it out",
            )


@twin(
    Cel(
        at="spec",
        rule="!has(self.data.source) || self.trainer.dataWorkers == 0",
        message="found {self.trainer.dataWorkers}, allowed 0 (data.source supplies prompts only "
        "when they are needed)",
        field="trainer.dataWorkers",
    )
)
def own_source_is_not_read_ahead(job: RLJob) -> Iterator[Problem]:
    """`trainer.dataWorkers` is 0 with `data.source`, which may choose prompts by past rewards."""
    workers = job.spec.trainer.data_workers
    if job.spec.data.source is not None and workers:
        yield problem(
            "spec.trainer.dataWorkers",
            workers,
            "0",
            "data.source supplies prompts only when they are needed",
        )


@twin(
    Cel(
        at="spec.data",
        rule="self.labelKey != self.inputKey",
        message='found "{self.labelKey}", allowed another key than inputKey (the prompt would be '
        "its own answer)",
        field="labelKey",
    ),
    Cel(
        at="spec.data",
        rule="!has(self.metadataKey) || !(self.metadataKey in [self.inputKey, self.labelKey])",
        message='found "{self.metadataKey}", allowed another key than inputKey and labelKey',
        field="metadataKey",
    ),
)
def keys_differ(job: RLJob) -> Iterator[Problem]:
    """`data.inputKey`, `labelKey` and `metadataKey` are different keys."""
    data = job.spec.data
    if data.label_key == data.input_key:
        yield problem(
            "spec.data.labelKey",
            data.label_key,
            "another key than inputKey",
            "the prompt would be its own answer",
        )
    if data.metadata_key in (data.input_key, data.label_key):
        yield problem(
            "spec.data.metadataKey", data.metadata_key, "another key than inputKey and labelKey"
        )


def evaluations_differ(job: RLJob) -> Iterator[Problem]:
    """Names of `evaluation` are unique: metrics are named after them."""
    names = [evaluation.name for evaluation in job.spec.evaluation]
    yield from repeated(("spec", "evaluation"), names, "name")


@twin(
    Cel(
        at="spec.evaluation[]",
        rule="!has(self.sampling.temperature) || self.sampling.temperature > 0.0 "
        "|| self.samplesPerPrompt == 1",
        message="found {self.samplesPerPrompt}, allowed 1 (temperature is 0, so all samples are "
        "the same)",
        field="samplesPerPrompt",
    )
)
def greedy_once(job: RLJob) -> Iterator[Problem]:
    """An evaluation at temperature 0 has `samplesPerPrompt` 1: all samples would be the same."""
    for index, evaluation in enumerate(job.spec.evaluation):
        if evaluation.sampling.temperature == 0 and evaluation.samples_per_prompt > 1:
            yield problem(
                ("spec", "evaluation", index, "samplesPerPrompt"),
                evaluation.samples_per_prompt,
                "1",
                "temperature is 0, so all samples are the same",
            )


RULES = (
    prompts_come_from_somewhere,
    blocks_are_shuffled,
    template_arguments,
    own_source_is_not_read_ahead,
    keys_differ,
    evaluations_differ,
    greedy_once,
)
