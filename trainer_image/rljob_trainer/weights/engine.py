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
        self._client = httpx.Client(base_url=engine.url, headers=headers, timeout=timeout)

    def join(
        self, address: str, port: int, *, rank: int, world_size: int, group: str, backend: str
    ) -> None:
        """Enters an update group; returns once all members are there."""
        self._post(
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

    def leave(self, group: str) -> None:
        """Leaves an update group."""
        self._post("/destroy_weights_update_group", {"group_name": group})

    def pause(self, mode: PauseMode) -> None:
        """Holds generation."""
        self._post("/pause_generation", {"mode": mode})

    def resume(self) -> None:
        """Goes on generating."""
        self._post("/continue_generation", {"torch_empty_cache": False})

    def begin(self) -> None:
        """Opens an update; until `end` the server takes buckets."""
        self._post("/begin_weight_update", {})

    def receive(
        self, bucket: Bucket, group: str, *, version: int | None, flush_cache: bool
    ) -> None:
        """Takes part in the broadcast of one bucket; returns once it is loaded.

        With the last one comes the version, and the prefix cache of the old weights goes.
        """
        label = {} if version is None else {"weight_version": str(version)}
        self._post(
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

    def end(self) -> None:
        """Closes an update: the new weights are in use."""
        self._post("/end_weight_update", {})

    def recover(self) -> None:
        """Closes an update that an earlier group, or trainer, left open; else does nothing."""
        self._call("/end_weight_update", {})

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _post(self, path: str, body: dict[str, Any]) -> None:
        reply = self._call(path, body)
        if reply.status_code != httpx.codes.OK:
            raise EngineFailedError(
                self.engine, f"POST {path}: {reply.status_code} {reply.text[:300]}"
            )

    def _call(self, path: str, body: dict[str, Any]) -> httpx.Response:
        try:
            return self._client.post(path, json=body)
        except httpx.HTTPError as error:
            raise EngineFailedError(self.engine, f"POST {path}: {error!r}") from error
