"""An engine's control endpoints, as the trainer uses them."""

from typing import Any, Literal

import httpx

from rljob.buffer.records import Engine
from rljob_trainer.weights.bucket import Bucket

PauseMode = Literal["retract", "in_place", "abort"]


class EngineFailedError(Exception):
    """An engine did not take part in an update: it refused, died, or was too slow."""

    def __init__(self, engine: Engine, reason: str) -> None:
        super().__init__(f"{engine.id}: {reason}")
        self.engine = engine
        self.reason = reason


class EngineControl:
    """One engine's SGLang server.

    Every call raises `EngineFailedError` where the server does not answer with success in time.
    """

    def __init__(self, engine: Engine, admin_key: str | None, timeout: float) -> None:
        self.engine = engine
        headers = {"Authorization": f"Bearer {admin_key}"} if admin_key else {}
        self._client = httpx.AsyncClient(
            base_url=engine.url, headers=headers, timeout=timeout, trust_env=False
        )

    async def join(
        self, address: str, port: int, *, rank: int, world_size: int, group: str, backend: str
    ) -> None:
        """Enters an update group; returns once all members are there."""
        await self._post(
            "/init_weights_update_group",
            {
                "master_address": address,
                "master_port": port,
                "rank_offset": rank,
                "world_size": world_size,
                "group_name": group,
                "backend": backend,
            },
        )

    async def leave(self, group: str) -> None:
        """Leaves an update group."""
        await self._post("/destroy_weights_update_group", {"group_name": group})

    async def pause(self, mode: PauseMode) -> None:
        """Holds generation."""
        await self._post("/pause_generation", {"mode": mode})

    async def resume(self) -> None:
        """Goes on generating."""
        await self._post("/continue_generation", {"torch_empty_cache": False})

    async def begin(self) -> None:
        """Opens an update; until `end` the server takes buckets."""
        await self._post("/begin_weight_update", {})

    async def receive(
        self, bucket: Bucket, group: str, *, version: int | None, flush_cache: bool
    ) -> None:
        """Takes part in the broadcast of one bucket; returns once it is loaded.

        With the last one comes the version, and the prefix cache of the old weights goes.
        """
        label = {} if version is None else {"weight_version": str(version)}
        await self._post(
            "/update_weights_from_distributed",
            {
                "names": bucket.names,
                "dtypes": bucket.dtypes,
                "shapes": bucket.shapes,
                "group_name": group,
                "load_format": "flattened_bucket",
                "flush_cache": flush_cache,
                **label,
            },
        )

    async def end(self) -> None:
        """Closes an update: the new weights are in use."""
        await self._post("/end_weight_update", {})

    async def recover(self) -> None:
        """Closes an update that an earlier group, or trainer, left open; else does nothing."""
        await self._call("/end_weight_update", {})

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        reply = await self._call(path, body)
        if reply.status_code != httpx.codes.OK:
            raise EngineFailedError(
                self.engine, f"POST {path}: {reply.status_code} {reply.text[:300]}"
            )

    async def _call(self, path: str, body: dict[str, Any]) -> httpx.Response:
        try:
            return await self._client.post(path, json=body)
        except httpx.HTTPError as error:
            raise EngineFailedError(self.engine, f"POST {path}: {error!r}") from error
