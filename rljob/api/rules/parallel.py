"""Processes, parallel sizes and micro-batches of the trainer, and GPUs shared with engines."""

import math
from collections.abc import Iterator

from rljob.api.problem import Problem, problem
from rljob.api.rljob import RLJob
from rljob.api.rules.cel import Cel, twin

SIZES = ("tensor", "pipeline", "context")
# In CEL, the first two of spec.trainer, the others of spec.
PROCESSES = "self.replicas * self.gpusPerReplica"
MODEL = " * ".join(f"self.parallelism.{size}" for size in SIZES)
OWN = "self.parallelism.expertTensor"
TENSOR = f"(has({OWN}) ? {OWN} : self.parallelism.tensor)"
EXPERTS = f"{TENSOR} * self.parallelism.pipeline"
SHARED = "self.trainer.replicas * self.trainer.gpusPerReplica"
SHARDS = MODEL.replace("self.", "self.trainer.")
REPLICAS = f"{SHARED} / ({SHARDS})"
MICRO = "(has(self.trainer.microBatchSize) ? self.trainer.microBatchSize : 1)"


def data_parallel_size(job: RLJob) -> int | None:
    """Replicas of the model among the trainer's processes; None if it does not divide them."""
    trainer = job.spec.trainer
    processes = trainer.replicas * trainer.gpus_per_replica
    model = math.prod(getattr(trainer.parallelism, size) for size in SIZES)
    return None if processes % model else processes // model


@twin(
    Cel(
        at="spec.trainer",
        rule=f"{MODEL} < 1 || {PROCESSES} % ({MODEL}) == 0",
        message="found tensor {self.parallelism.tensor} x pipeline {self.parallelism.pipeline} x "
        f"context {{self.parallelism.context}} = {{{MODEL}}}, allowed a divisor of {{{PROCESSES}}} "
        "(= replicas {self.replicas} x gpusPerReplica {self.gpusPerReplica})",
        field="parallelism",
    )
)
def sizes_fill_the_gpus(job: RLJob) -> Iterator[Problem]:
    """`tensor` x `pipeline` x `context` divides `replicas` x `gpusPerReplica` of the trainer."""
    trainer = job.spec.trainer
    if data_parallel_size(job) is None:
        sizes = {size: getattr(trainer.parallelism, size) for size in SIZES}
        product = " x ".join(f"{name} {size}" for name, size in sizes.items())
        processes = trainer.replicas * trainer.gpus_per_replica
        yield Problem(
            ("spec", "trainer", "parallelism"),
            f"{product} = {math.prod(sizes.values())}",
            f"a divisor of {processes}",
            f"= replicas {trainer.replicas} x gpusPerReplica {trainer.gpus_per_replica}",
        )


@twin(
    Cel(
        at="spec.trainer",
        rule=f"!has({OWN}) || {OWN} < 1 || self.parallelism.pipeline < 1 "
        f"|| {PROCESSES} % self.parallelism.pipeline != 0 "
        f"|| {PROCESSES} / self.parallelism.pipeline % {OWN} == 0",
        message=f"found {{{OWN}}}, allowed a divisor of "
        f"{{{PROCESSES} / self.parallelism.pipeline}} (= processes {{{PROCESSES}}} / pipeline "
        "{self.parallelism.pipeline})",
        field="parallelism.expertTensor",
    ),
    Cel(
        at="spec.trainer",
        rule=f"{EXPERTS} < 1 || self.parallelism.expert < 1 || {PROCESSES} % ({EXPERTS}) != 0 "
        f"|| {PROCESSES} / ({EXPERTS}) % self.parallelism.expert == 0",
        message=f"found {{self.parallelism.expert}}, allowed a divisor of "
        f"{{{PROCESSES} / ({EXPERTS})}} (= processes {{{PROCESSES}}} / (pipeline "
        f"{{self.parallelism.pipeline}} x expertTensor {{{TENSOR}}}))",
        field="parallelism.expert",
    ),
)
def experts_fill_the_gpus(job: RLJob) -> Iterator[Problem]:
    """`expert` x `expertTensor` x `pipeline` divides the processes (megatron's parallel_state)."""
    trainer = job.spec.trainer
    sizes = trainer.parallelism
    processes = trainer.replicas * trainer.gpus_per_replica
    if processes % sizes.pipeline:
        return
    stage = processes // sizes.pipeline
    tensor = sizes.expert_tensor or sizes.tensor
    if stage % tensor == 0:
        if stage // tensor % sizes.expert:
            yield problem(
                "spec.trainer.parallelism.expert",
                sizes.expert,
                f"a divisor of {stage // tensor}",
                f"= processes {processes} / (pipeline {sizes.pipeline} x expertTensor {tensor})",
            )
    elif sizes.expert_tensor is not None:
        yield problem(
            "spec.trainer.parallelism.expertTensor",
            tensor,
            f"a divisor of {stage}",
            f"= processes {processes} / pipeline {sizes.pipeline}",
        )


@twin(
    Cel(
        at="spec.trainer.parallelism",
        rule="self.virtualPipeline < 2 || self.pipeline > 1",
        message="found {self.virtualPipeline}, allowed 1 (pipeline is 1)",
        field="virtualPipeline",
        reason="FieldValueForbidden",
    )
)
def virtual_needs_pipeline(job: RLJob) -> Iterator[Problem]:
    """`virtualPipeline` above 1 needs `pipeline` above 1."""
    sizes = job.spec.trainer.parallelism
    if sizes.virtual_pipeline > 1 and sizes.pipeline == 1:
        yield problem(
            "spec.trainer.parallelism.virtualPipeline",
            sizes.virtual_pipeline,
            "1",
            "pipeline is 1",
        )


@twin(
    Cel(
        at="spec.trainer.parallelism",
        rule="!self.sequence || self.tensor > 1",
        message="found true, allowed false (tensor is 1)",
        field="sequence",
        reason="FieldValueForbidden",
    )
)
def sequence_needs_tensor(job: RLJob) -> Iterator[Problem]:
    """`sequence` needs `tensor` above 1."""
    sizes = job.spec.trainer.parallelism
    if sizes.sequence and sizes.tensor == 1:
        yield problem("spec.trainer.parallelism.sequence", True, "false", "tensor is 1")


@twin(
    Cel(
        at="spec.trainer",
        rule="!has(self.maxTokensPerGpu) || !has(self.microBatchSize)",
        message="found {self.microBatchSize}, allowed null (maxTokensPerGpu is "
        "{self.maxTokensPerGpu}; at most one of the two)",
        field="microBatchSize",
        reason="FieldValueForbidden",
    )
)
def one_way_to_micro_batches(job: RLJob) -> Iterator[Problem]:
    """At most one of `maxTokensPerGpu` and `microBatchSize` is given."""
    trainer = job.spec.trainer
    if trainer.max_tokens_per_gpu is not None and trainer.micro_batch_size is not None:
        yield problem(
            "spec.trainer.microBatchSize",
            trainer.micro_batch_size,
            "null",
            f"maxTokensPerGpu is {trainer.max_tokens_per_gpu}; at most one of the two",
        )


@twin(
    Cel(
        at="spec",
        rule=f"{SHARED} < 1 || {SHARDS} < 1 || {MICRO} < 1 || {SHARED} % ({SHARDS}) != 0 "
        f"|| self.schedule.globalBatchSize % ({REPLICAS} * {MICRO}) == 0",
        message="found {self.schedule.globalBatchSize}, allowed a multiple of "
        f"{{{REPLICAS} * {MICRO}}} (= data-parallel size {{{REPLICAS}}}"
        f"{{{MICRO} > 1 ? ' x microBatchSize %d'.format([{MICRO}]) : ''}})",
        field="schedule.globalBatchSize",
    )
)
def global_batch_divides(job: RLJob) -> Iterator[Problem]:
    """`globalBatchSize` is a multiple of the data-parallel size x `microBatchSize`."""
    replicas = data_parallel_size(job)
    micro = job.spec.trainer.micro_batch_size or 1
    samples = job.spec.schedule.global_batch_size
    if replicas is not None and samples % (replicas * micro):
        size = f"= data-parallel size {replicas}"
        yield problem(
            "spec.schedule.globalBatchSize",
            samples,
            f"a multiple of {replicas * micro}",
            f"{size} x microBatchSize {micro}" if micro > 1 else size,
        )


@twin(
    Cel(
        at="spec",
        rule="!self.colocate || self.rollout.gpusPerReplica < 1 "
        "|| self.trainer.gpusPerReplica % self.rollout.gpusPerReplica == 0",
        message="found {self.rollout.gpusPerReplica}, allowed a divisor of "
        "{self.trainer.gpusPerReplica} (spec.colocate: an engine lives on the GPUs of one trainer "
        "pod)",
        field="rollout.gpusPerReplica",
    ),
    Cel(
        at="spec",
        rule="!self.colocate || self.rollout.gpusPerReplica < 1 "
        "|| self.trainer.gpusPerReplica % self.rollout.gpusPerReplica != 0 "
        f"|| self.rollout.replicas * self.rollout.gpusPerReplica <= {SHARED}",
        message=f"found {{self.rollout.replicas}}, allowed at most "
        f"{{{SHARED} / self.rollout.gpusPerReplica}} (spec.colocate: the trainer has {{{SHARED}}} "
        "GPUs)",
        field="rollout.replicas",
    ),
)
def engines_fit_the_shared_gpus(job: RLJob) -> Iterator[Problem]:
    """Colocated engines fit into the trainer's pods."""
    trainer, rollout = job.spec.trainer, job.spec.rollout
    if not job.spec.colocate:
        return
    if trainer.gpus_per_replica % rollout.gpus_per_replica:
        yield problem(
            "spec.rollout.gpusPerReplica",
            rollout.gpus_per_replica,
            f"a divisor of {trainer.gpus_per_replica}",
            "spec.colocate: an engine lives on the GPUs of one trainer pod",
        )
        return
    shared = trainer.replicas * trainer.gpus_per_replica
    if rollout.replicas * rollout.gpus_per_replica > shared:
        yield problem(
            "spec.rollout.replicas",
            rollout.replicas,
            f"at most {shared // rollout.gpus_per_replica}",
            f"spec.colocate: the trainer has {shared} GPUs",
        )


RULES = (
    sizes_fill_the_gpus,
    experts_fill_the_gpus,
    virtual_needs_pipeline,
    sequence_needs_tensor,
    one_way_to_micro_batches,
    global_batch_divides,
    engines_fit_the_shared_gpus,
)
