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
        rule=f"{MODEL} < 1 || self.parallelism.expert < 1 || {PROCESSES} % ({MODEL}) != 0 "
        f"|| {PROCESSES} / ({MODEL}) * self.parallelism.context % self.parallelism.expert == 0",
        message="found {self.parallelism.expert}, allowed a divisor of "
        f"{{{PROCESSES} / ({MODEL}) * self.parallelism.context}} (= data-parallel size "
        f"{{{PROCESSES} / ({MODEL})}} x context {{self.parallelism.context}})",
        field="parallelism.expert",
    )
)
def experts_fill_the_gpus(job: RLJob) -> Iterator[Problem]:
    """`expert` divides the data-parallel size x `context` (megatron-core's parallel_state.py)."""
    sizes = job.spec.trainer.parallelism
    replicas = data_parallel_size(job)
    if replicas is not None and replicas * sizes.context % sizes.expert:
        yield problem(
            "spec.trainer.parallelism.expert",
            sizes.expert,
            f"a divisor of {replicas * sizes.context}",
            f"= data-parallel size {replicas} x context {sizes.context}",
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
    sequence_needs_tensor,
    one_way_to_micro_batches,
    global_batch_divides,
    engines_fit_the_shared_gpus,
)
