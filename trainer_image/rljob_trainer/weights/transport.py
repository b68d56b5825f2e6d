"""The transports of weights, by their names in the manifest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Transport:
    """A way of weights to the engines: makes groups of engines that receive them."""

    new_group: NewGroup
    store: VersionStore | None = None  # where there is a disk

    def nbytes(self, version: int) -> int:
        """What a version of so many bytes took: on the disk, or on its way to each engine."""
        return self.store.bytes_written if self.store is not None else version

    def close(self) -> None:
        """Leaves nothing behind; there are no groups any more."""
        if self.store is not None:
            self.store.close()


def open_transport(spec: RLJobSpec, *, host: str, device: torch.device, run_dir: Path) -> Transport:
    """The transport that the job names.

    Args:
        spec: of the job.
        host: address of this process for the engines.
        device: on which the trainer has its weights.
        run_dir: of the run; with the transport disk its `weights` is emptied and written to.
    """
    timeout = spec.weights.timeout_seconds
    ranks_per_engine = spec.rollout.gpus_per_replica if device.type == "cuda" else 1

    def broadcast() -> Transport:
        def new_group(members: Sequence[EngineControl], is_live: Liveness) -> EngineGroup:
            return BroadcastGroup(
                members,
                host=host,
                device=device,
                ranks_per_engine=ranks_per_engine,
                timeout=timeout,
                is_live=is_live,
            )

        return Transport(new_group)

    def disk() -> Transport:
        store = VersionStore(
            run_dir / _VERSIONS,
            companions=Path(spec.model.checkpoint),
            full_interval=spec.weights.full_interval,
        )

        def new_group(members: Sequence[EngineControl], is_live: Liveness) -> EngineGroup:
            return DiskGroup(members, store=store, timeout=timeout, is_live=is_live)

        return Transport(new_group, store)

    def ipc() -> Transport:
        def new_group(members: Sequence[EngineControl], is_live: Liveness) -> EngineGroup:
            return IpcGroup(
                members,
                device=device,
                ranks_per_engine=ranks_per_engine,
                timeout=timeout,
                is_live=is_live,
            )

        return Transport(new_group)

    known: dict[str, Callable[[], Transport]] = {"broadcast": broadcast, "disk": disk, "ipc": ipc}
    return known[spec.weights.transport]()
