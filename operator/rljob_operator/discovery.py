"""Discovery: which kinds the API server serves."""

import asyncio

import msgspec
import structlog

from rljob_operator.api import Api, ApiError
from rljob_operator.kind import CHILDREN, RLJOB, Kind
from rljob_operator.watch import UNREACHABLE

log = structlog.get_logger()
_LOOK_SECONDS = 2.0
_NOT_FOUND = 404


class _Resource(msgspec.Struct):
    name: str


class _Resources(msgspec.Struct):
    resources: list[_Resource] = []


async def wait_for_jobs(api: Api) -> None:
    """Wait until the CRD of RLJobs is installed, because kopf checks only once."""
    told = ""
    while True:
        try:
            if await _is_served(api, RLJOB):
                return
            found = "apply crds/rljob.dev_rljobs.yaml"
        except (ApiError, *UNREACHABLE) as error:
            found = f"{type(error).__name__}: {error}"
        if found != told:
            log.warning("crd.missing", message=found)
            told = found
        await asyncio.sleep(_LOOK_SECONDS)


async def optional_kinds(api: Api) -> list[Kind]:
    """The installed kinds of other projects."""
    return [kind for kind in CHILDREN if kind.optional and await _is_served(api, kind)]


async def _is_served(api: Api, kind: Kind) -> bool:
    try:
        content = await api.request("GET", f"/apis/{kind.api_version}")
    except ApiError as error:
        if error.code == _NOT_FOUND:
            return False
        raise
    found = msgspec.json.decode(content, type=_Resources)
    return any(each.name == kind.plural for each in found.resources)
