"""Lengths and parallel sizes against the model's architecture, if it is known."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rljob.api.problem import Problem, problem
from rljob.api.rljob import RLJob
from rljob.api.rules.cel import Cel, twin
from rljob.api.trainer import DEFAULT_MAX_TOKENS_PER_GPU

# Options that allow uneven pipeline stages.
UNEVEN = (
    "num_layers_in_first_pipeline_stage",
    "num_layers_in_last_pipeline_stage",
    "pipeline_model_parallel_layout",
    "account_for_embedding_in_pipeline_split",
    "account_for_loss_in_pipeline_split",
)
# In CEL, of spec. RoPE scaling and uneven stages are left to the operator.
ARCHITECTURE = "self.model.architecture"
POSITIONS = f"{ARCHITECTURE}.max_position_embeddings"
HEADS = f"{ARCHITECTURE}.num_attention_heads"
STATED = (
    f"(has({ARCHITECTURE}) && has({POSITIONS}) && !has({ARCHITECTURE}.rope_scaling) "
    f"&& !has({ARCHITECTURE}.rope_parameters))"
)
WINDOW = "self.rollout.sglang.context_length"
CHOSEN = f"has({WINDOW})"
LIMITED = f"({CHOSEN} || {STATED})"
LIMIT = f"({CHOSEN} ? {WINDOW} : {POSITIONS})"
SOURCE = (
    f"{CHOSEN} ? 'spec.rollout.sglang.context_length' "
    ": 'max_position_embeddings of spec.model.architecture'"
)
PROMPT, RESPONSE = "self.data.maxPromptTokens", "self.rollout.sampling.maxResponseTokens"
ROOM = (
    f"allowed at most {{{LIMIT} - {PROMPT}}} ({{{SOURCE}}} {{{LIMIT}}} - maxPromptTokens "
    f"{{{PROMPT}}})"
)
TOO_LONG = f"has(e.sampling.maxResponseTokens) && {PROMPT} + e.sampling.maxResponseTokens > {LIMIT}"
# Names of the number of experts, by family.
EXPERT_COUNTS = ("num_experts", "n_routed_experts", "num_local_experts")
NUMBERS_OF_EXPERTS = " : ".join(
    f"has({ARCHITECTURE}.{name}) && {ARCHITECTURE}.{name} > 0 ? {ARCHITECTURE}.{name}"
    for name in EXPERT_COUNTS
)
EXPERTS = f"({NUMBERS_OF_EXPERTS} : 1)"
SAMPLE = "(self.data.maxPromptTokens + self.rollout.sampling.maxResponseTokens)"
CONTEXT = "self.trainer.parallelism.context"
BUDGET = (
    "(has(self.trainer.maxTokensPerGpu) ? self.trainer.maxTokensPerGpu "
    f": {DEFAULT_MAX_TOKENS_PER_GPU})"
)


@dataclass(frozen=True)
class Shape:
    """A Hugging Face config, and its name in messages."""

    config: dict[str, Any]
    source: str

    def count(self, name: str) -> int | None:
        """A count of the config that is at least 1; None if it is absent or unusable."""
        value = self.config.get(name)
        usable = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        return value if usable else None

    @property
    def positions(self) -> int | None:
        """Longest sequence in tokens, as SGLang derives it (common.py, get_context_length)."""
        positions = self.count("max_position_embeddings")
        rope = self.config.get("rope_scaling") or self.config.get("rope_parameters")
        if positions is None or not isinstance(rope, dict):
            return positions
        factor = rope.get("factor", 1)
        stretched = "original_max_position_embeddings" in rope or rope.get("rope_type") == "llama3"
        if stretched or not isinstance(factor, int | float) or not 1 <= factor <= 10_000:
            return positions
        return int(positions * factor)


def shape_of(job: RLJob, directory: Path | None) -> Shape | Problem:
    """The explicit architecture, or that of a checkpoint on this machine.

    Returns:
        An empty shape if it is not known here; a problem if the checkpoint's config is broken.
    """
    model = job.spec.model
    if model.architecture is not None:
        return Shape(model.architecture, "spec.model.architecture")
    if directory is None:
        return Shape({}, "")
    file = directory / model.checkpoint / "config.json"
    try:
        config = json.loads(file.read_bytes())
    except OSError:
        return Shape({}, "")  # on the cluster, or not a Hugging Face checkpoint
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        return problem("spec.model.checkpoint", model.checkpoint, "a config.json that is an object")
    text = config.get("text_config")
    return Shape(text if isinstance(text, dict) else config, str(file))


@twin(
    Cel(
        at="spec",
        rule=f"!{CHOSEN} || !{STATED} || {WINDOW} <= {POSITIONS}",
        message=f"found {{{WINDOW}}}, allowed at most {{{POSITIONS}}} (max_position_embeddings of "
        "spec.model.architecture)",
        field="rollout.sglang.context_length",
    ),
    Cel(
        at="spec",
        rule=f"!{LIMITED} || {PROMPT} < {LIMIT}",
        message=f"found {{{PROMPT}}}, allowed at most {{{LIMIT} - 1}} ({{{SOURCE}}} {{{LIMIT}}})",
        field="data.maxPromptTokens",
    ),
    Cel(
        at="spec",
        rule=f"!{LIMITED} || {PROMPT} >= {LIMIT} || {PROMPT} + {RESPONSE} <= {LIMIT}",
        message=f"found {{{RESPONSE}}}, {ROOM}",
        field="rollout.sampling.maxResponseTokens",
    ),
    Cel(
        at="spec",
        rule=f"!{LIMITED} || {PROMPT} >= {LIMIT} || !self.evaluation.exists(e, {TOO_LONG})",
        message=f"found {{self.evaluation.filter(e, {TOO_LONG})[0].sampling.maxResponseTokens}}, "
        f"{ROOM}",
        field="evaluation",
    ),
)
def response_in_context(job: RLJob, shape: Shape) -> Iterator[Problem]:
    """`maxPromptTokens` + `maxResponseTokens` fits the model's `max_position_embeddings`."""
    positions, source = shape.positions, f"max_position_embeddings of {shape.source}"
    given = job.spec.rollout.sglang.get("context_length")
    chosen = given if isinstance(given, int) and given >= 1 else None
    if chosen is not None and positions is not None and chosen > positions:
        yield problem("spec.rollout.sglang.context_length", chosen, f"at most {positions}", source)
    elif chosen is not None:
        positions, source = chosen, "spec.rollout.sglang.context_length"
    if positions is None:
        return
    prompt = job.spec.data.max_prompt_tokens
    if prompt >= positions:
        yield problem(
            "spec.data.maxPromptTokens", prompt, f"at most {positions - 1}", f"{source} {positions}"
        )
        return
    reason = f"{source} {positions} - maxPromptTokens {prompt}"
    response = job.spec.rollout.sampling.max_response_tokens
    if prompt + response > positions:
        yield problem(
            "spec.rollout.sampling.maxResponseTokens",
            response,
            f"at most {positions - prompt}",
            reason,
        )
    for index, evaluation in enumerate(job.spec.evaluation):
        own = evaluation.sampling.max_response_tokens
        if own is not None and prompt + own > positions:
            yield problem(
                ("spec", "evaluation", index, "sampling", "maxResponseTokens"),
                own,
                f"at most {positions - prompt}",
                reason,
            )


@twin(
    Cel(
        at="spec",
        rule=f"!has({ARCHITECTURE}) || !has({HEADS}) || self.trainer.parallelism.tensor < 1 "
        f"|| {HEADS} % self.trainer.parallelism.tensor == 0",
        message=f"found {{self.trainer.parallelism.tensor}}, allowed a divisor of {{{HEADS}}} "
        "(num_attention_heads of spec.model.architecture)",
        field="trainer.parallelism.tensor",
    ),
    Cel(
        at="spec",
        rule=f"!has({ARCHITECTURE}) || self.trainer.parallelism.expert < 1 "
        f"|| {EXPERTS} % self.trainer.parallelism.expert == 0",
        message=f"found {{self.trainer.parallelism.expert}}, allowed a divisor of {{{EXPERTS}}} "
        "(the number of experts of spec.model.architecture)",
        field="trainer.parallelism.expert",
    ),
)
def shape_divides(job: RLJob, shape: Shape) -> Iterator[Problem]:
    """`tensor` divides the heads, `pipeline` and `virtualPipeline` the layers, `expert` experts."""
    trainer = job.spec.trainer
    heads = shape.count("num_attention_heads")
    sizes = trainer.parallelism
    checks = [("spec.trainer.parallelism.tensor", sizes.tensor, heads, "num_attention_heads")]
    if shape.source:  # a config without experts counts as one expert
        experts = next(filter(None, map(shape.count, EXPERT_COUNTS)), 1)
        checks.append(
            ("spec.trainer.parallelism.expert", sizes.expert, experts, "the number of experts")
        )
    if not any(option in trainer.megatron for option in UNEVEN):
        layers = shape.count("num_hidden_layers")
        checks.append(
            ("spec.trainer.parallelism.pipeline", sizes.pipeline, layers, "num_hidden_layers")
        )
        if layers is not None and layers % sizes.pipeline == 0:
            stage = layers // sizes.pipeline
            name = "num_hidden_layers / pipeline"
            field = "spec.trainer.parallelism.virtualPipeline"
            checks.append((field, sizes.virtual_pipeline, stage, name))
    for field, size, count, name in checks:
        if count is not None and count % size:
            yield problem(field, size, f"a divisor of {count}", f"{name} of {shape.source}")


@twin(
    Cel(
        at="spec",
        rule=f"has(self.trainer.microBatchSize) || {SAMPLE} <= {BUDGET} * {CONTEXT}",
        message=f"found {{{BUDGET}}}, allowed at least {{({SAMPLE} + {CONTEXT} - 1) / {CONTEXT}}} "
        "(maxPromptTokens {self.data.maxPromptTokens} + maxResponseTokens "
        "{self.rollout.sampling.maxResponseTokens}"
        f"{{{CONTEXT} > 1 ? ', over context %d'.format([{CONTEXT}]) : ''}})",
        field="trainer.maxTokensPerGpu",
    )
)
def samples_in_micro_batch(job: RLJob) -> Iterator[Problem]:
    """`maxPromptTokens` + `maxResponseTokens` fits into `maxTokensPerGpu` x `context`."""
    trainer = job.spec.trainer
    if trainer.micro_batch_size is not None:
        return
    prompt = job.spec.data.max_prompt_tokens
    response = job.spec.rollout.sampling.max_response_tokens
    context = trainer.parallelism.context
    budget = trainer.max_tokens_per_gpu or DEFAULT_MAX_TOKENS_PER_GPU
    if prompt + response > budget * context:
        reason = f"maxPromptTokens {prompt} + maxResponseTokens {response}"
        yield Problem(
            ("spec", "trainer", "maxTokensPerGpu"),
            str(budget),
            f"at least {-(-(prompt + response) // context)}",
            f"{reason}, over context {context}" if context > 1 else reason,
        )


RULES = (samples_in_micro_batch,)
SHAPE_RULES = (response_in_context, shape_divides)
