"""The transports of weights, by their names in the manifest."""

import atexit
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from rljob.api import RLJobSpec
from rljob_trainer.weights.broadcast import BroadcastGroup
from rljob_trainer.weights.calls import Liveness
from rljob_trainer.weights.disk import DiskGroup
from rljob_trainer.weights.engine import EngineControl
from rljob_trainer.weights.engine_group import EngineGroup
from rljob_trainer.weights.ipc import IpcGroup
from rljob_trainer.weights.publisher import NewGroup
from rljob_trainer.weights.version_store import VersionStore

_VERSIONS = "weights"  # as in pod_paths


def group_maker(spec: RLJobSpec, *, host: str, device: torch.device, run_dir: Path) -> NewGroup:
    """Makes groups of the job's transport.

    Args:
        spec: of the job.
        host: address of this process for the engines.
        device: on which the trainer has its weights.
        run_dir: of the run; with the transport disk its `weights` is emptied and written to.
    """
    timeout = spec.weights.timeout_seconds
    ranks_per_engine = spec.rollout.gpus_per_replica if device.type == "cuda" else 1

    def broadcast() -> NewGroup:
        def new_group(members: Sequence[EngineControl], is_live: Liveness) -> EngineGroup:
            return BroadcastGroup(
                members,
                host=host,
                device=device,
                ranks_per_engine=ranks_per_engine,
                timeout=timeout,
                is_live=is_live,
            )

        return new_group

    def disk() -> NewGroup:
        store = VersionStore(
            run_dir / _VERSIONS,
            companions=Path(spec.model.checkpoint),
            full_interval=spec.weights.full_interval,
        )
        atexit.register(store.close)

        def new_group(members: Sequence[EngineControl], is_live: Liveness) -> EngineGroup:
            return DiskGroup(members, store=store, timeout=timeout, is_live=is_live)

        return new_group

    def ipc() -> NewGroup:
        def new_group(members: Sequence[EngineControl], is_live: Liveness) -> EngineGroup:
            return IpcGroup(
                members,
                device=device,
                ranks_per_engine=ranks_per_engine,
                timeout=timeout,
                is_live=is_live,
            )

        return new_group

    makers: dict[str, Callable[[], NewGroup]] = {"broadcast": broadcast, "disk": disk, "ipc": ipc}
    return makers[spec.weights.transport]()
