"""The transports of weights, by their names in the manifest."""

from collections.abc import Sequence

import torch

from rljob.api import RLJobSpec
from rljob_trainer.weights.broadcast import BroadcastGroup
from rljob_trainer.weights.calls import Liveness
from rljob_trainer.weights.engine import EngineControl
from rljob_trainer.weights.engine_group import EngineGroup
from rljob_trainer.weights.publisher import NewGroup


def group_maker(spec: RLJobSpec, *, host: str, device: torch.device) -> NewGroup:
    """Makes groups of the job's transport.

    Args:
        spec: of the job.
        host: address of this process for the engines.
        device: on which the trainer has its weights.
    """
    timeout = spec.weights.timeout_seconds
    ranks_per_engine = spec.rollout.gpus_per_replica if device.type == "cuda" else 1

    def broadcast(members: Sequence[EngineControl], is_live: Liveness) -> EngineGroup:
        return BroadcastGroup(
            members,
            host=host,
            device=device,
            ranks_per_engine=ranks_per_engine,
            timeout=timeout,
            is_live=is_live,
        )

    makers: dict[str, NewGroup] = {"broadcast": broadcast}
    return makers[spec.weights.transport]
