"""Adds an endpoint for the disk transport to the engine's HTTP server."""

from pathlib import Path

from pydantic import BaseModel
from sglang.srt.entrypoints.http_server import app
from sglang.srt.utils.auth import AuthLevel, auth_level

from rljob.weights.version import DamagedError
from rljob_rollout.local_weights import LocalWeights


class _Request(BaseModel):
    directory: str


def add_weights_endpoint(weights: LocalWeights) -> None:
    """POST /prepare_weights: makes a checkpoint of a version, without loading it.

    It takes the directory of a version and answers with `model_path`, for
    /update_weights_from_disk, or with `damaged`: why the version can't be used. It requires the
    same key as weight updates.
    """

    @app.post("/prepare_weights")  # type: ignore[untyped-decorator]  # sglang has no types
    @auth_level(AuthLevel.ADMIN_OPTIONAL)  # type: ignore[untyped-decorator]
    def prepare_weights(request: _Request) -> dict[str, str]:  # in a thread: it takes long
        try:
            return {"model_path": str(weights.checkpoint(Path(request.directory)))}
        except DamagedError as error:
            return {"damaged": str(error)}
