"""The weight transports, by their names in the manifest."""

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
    """A way to send weights to the engines: makes groups of engines that receive them."""

    new_group: NewGroup
    store: VersionStore | None = None  # for the disk transport

    def nbytes(self, version: int) -> int:
        """The bytes that a version of this size took on disk, or on its way to each engine."""
        return self.store.bytes_written if self.store is not None else version

    def close(self) -> None:
        """Removes everything it has written; there must be no groups left."""
        if self.store is not None:
            self.store.close()


def open_transport(spec: RLJobSpec, *, host: str, device: torch.device, run_dir: Path) -> Transport:
    """Opens the transport that the job names.

    Args:
        spec: of the job.
        host: the address at which engines reach this process.
        device: the device that holds the trainer's weights.
        run_dir: of the run; the disk transport empties its `weights` and writes there.
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
