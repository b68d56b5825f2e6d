"""Sends weights over a disk that trainer and engines share."""

from collections.abc import Sequence
from pathlib import Path

import structlog

from rljob.weights.version import DamagedError
from rljob_trainer.weights.calls import Liveness
from rljob_trainer.weights.engine import EngineControl, EngineFailedError
from rljob_trainer.weights.engine_group import EngineGroup
from rljob_trainer.weights.snapshot import Snapshot
from rljob_trainer.weights.version_store import VersionStore

log = structlog.get_logger()


class DiskGroup(EngineGroup):
    """Engines that load versions from a directory. They pause only while they load."""

    def __init__(
        self,
        members: Sequence[EngineControl],
        *,
        store: VersionStore,
        timeout: float,
        is_live: Liveness,
    ) -> None:
        """
        Args:
            members: the engines.
            store: writes the versions; shared by all groups.
            timeout: seconds that a member may take for its part of a call.
            is_live: asked about members that have not answered.
        """
        super().__init__(members, timeout=timeout, is_live=is_live)
        self._store = store
        self._checkpoints: dict[EngineControl, Path] = {}

    async def prepare(self, snapshot: Snapshot) -> None:
        """Writes the version and has the members verify it and apply it if it is a delta."""
        self._checkpoints.clear()
        damages = await self._fetch(await self._store.write(snapshot, self))
        if not damages:
            return
        for member, reason in damages.items():
            log.warning("weights.damaged", engine=member.engine.id, reason=reason)
        damages = await self._fetch(await self._store.rewrite(snapshot, self))
        for member, reason in damages.items():
            raise EngineFailedError(member.engine, f"weights are damaged: {reason}")

    async def deliver(self, snapshot: Snapshot, *, flush_cache: bool) -> None:
        """Has the members load the prepared version."""
        await self.each(
            lambda member: member.load(
                self._checkpoints[member], version=snapshot.version, flush_cache=flush_cache
            )
        )

    async def close(self) -> None:
        """Releases the versions that the group reads."""
        self._store.release(self)
        await super().close()

    async def _fetch(self, version: Path) -> dict[EngineControl, str]:
        """Has the members fetch the version; returns those that found it damaged, and how."""
        damages: dict[EngineControl, str] = {}

        async def fetch(member: EngineControl) -> None:
            if member in self._checkpoints:
                return
            try:
                self._checkpoints[member] = await member.prepare_weights(version)
            except DamagedError as error:
                damages[member] = str(error)

        await self.each(fetch)
        return damages
