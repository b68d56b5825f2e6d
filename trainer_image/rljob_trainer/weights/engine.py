"""An engine's control endpoints, as the trainer uses them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import httpx

from rljob.buffer.records import Engine
from rljob.weights.version import DamagedError
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

    Every call raises `EngineFailedError` if the server does not answer with success in time.
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
        """Joins an update group; returns once all members are there."""
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
        """Pauses generation."""
        await self._post("/pause_generation", {"mode": mode})

    async def resume(self) -> None:
        """Resumes generation."""
        await self._post("/continue_generation", {"torch_empty_cache": False})

    async def begin(self) -> None:
        """Opens an update: until `end`, the server accepts buckets."""
        await self._post("/begin_weight_update", {})

    async def receive(
        self, bucket: Bucket, group: str, *, version: int | None, flush_cache: bool
    ) -> None:
        """Takes part in the broadcast of one bucket; returns once it is loaded.

        The last one comes with the version, and flushes the prefix cache of the old weights.
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

    async def receive_shared(
        self, payloads: Sequence[str], *, version: int | None, flush_cache: bool
    ) -> None:
        """Loads one bucket from memory that the engine shares with this process.

        Args:
            payloads: one for each process of the engine, as SGLang's MultiprocessingSerializer
                writes them, in base64.
            version: given with the last bucket.
            flush_cache: whether to drop the prefix cache of the old weights.
        """
        label = {} if version is None else {"weight_version": str(version)}
        await self._post(
            "/update_weights_from_tensor",
            {
                "serialized_named_tensors": list(payloads),
                "load_format": "flattened_bucket",
                "flush_cache": flush_cache,
                **label,
            },
        )

    async def prepare_weights(self, version: Path) -> Path:
        """Has the engine verify a version on the shared disk and apply a delta, but not load it.

        Returns:
            The path of the checkpoint on the engine.

        Raises:
            DamagedError: the version, or one that it builds on, is damaged or missing there.
        """
        reply = await self._post("/prepare_weights", {"directory": str(version)})
        answer: dict[str, str] = reply.json()
        if "damaged" in answer:
            raise DamagedError(answer["damaged"])
        return Path(answer["model_path"])

    async def load(self, checkpoint: Path, *, version: int, flush_cache: bool) -> None:
        """Loads all weights of a checkpoint and starts to use them."""
        await self._post(
            "/update_weights_from_disk",
            {
                "model_path": str(checkpoint),
                "load_format": "safetensors",
                "weight_version": str(version),
                "flush_cache": flush_cache,
            },
        )

    async def end(self) -> None:
        """Closes an update: from now on the new weights are in use."""
        await self._post("/end_weight_update", {})

    async def recover(self) -> None:
        """Closes an update that an earlier group or trainer left open, if there is one."""
        await self._call("/end_weight_update", {})

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        reply = await self._call(path, body)
        if reply.status_code != httpx.codes.OK:
            raise EngineFailedError(
                self.engine, f"POST {path}: {reply.status_code} {reply.text[:300]}"
            )
        return reply

    async def _call(self, path: str, body: dict[str, Any]) -> httpx.Response:
        try:
            return await self._client.post(path, json=body)
        except httpx.HTTPError as error:
            raise EngineFailedError(self.engine, f"POST {path}: {error!r}") from error
