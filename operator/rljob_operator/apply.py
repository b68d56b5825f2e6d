"""Performs decisions: the only part of the operator that writes."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from rljob_operator import names
from rljob_operator.action import (
    Action,
    Annotate,
    Apply,
    Create,
    Decision,
    Delete,
    DeleteJob,
    Event,
    Finalizer,
    Keep,
    Scale,
)
from rljob_operator.api import APPLY_PATCH, JSON, MERGE_PATCH, PARTIAL, Api, ApiError, encode
from rljob_operator.cache import Cache
from rljob_operator.children.wanted import owner
from rljob_operator.denials import Attempt, Denials, is_denial, is_needed, needs_others
from rljob_operator.kind import EVENT, POD, RLJOB, Kind, kind_of, kinds_named
from rljob_operator.leadership import Leadership
from rljob_operator.merge_patch import merge_patch
from rljob_operator.metrics import Metrics
from rljob_operator.objects import Partial
from rljob_operator.observed import Ref, Refusal
from rljob_operator.watch import UNREACHABLE, item_type, pages

log = structlog.get_logger()
_CONTROLLER = "rljob.dev/operator"
_NOT_FOUND, _CONFLICT = 404, 409
_REFUSED = (400, 422)  # because of the content, so a retry would not help
_NOT_TYPED = "failed to create typed patch object"  # an unknown field, a value of another type
_OTHER_UID = "metadata.uid"  # the applied child is gone, and another object has its name
_LONGEST_NOTE = 1024  # bytes of an event's note
_MOST_SILENT = 2  # requests of a pass without a reply; each may take a minute


class Applier:
    """Writes to the API server, and updates the cache from its replies."""

    def __init__(
        self, api: Api, cache: Cache, identity: str, metrics: Metrics, leadership: Leadership
    ) -> None:
        """
        Args:
            api: the server.
            cache: updated from the replies.
            identity: identity of this operator, for events.
            metrics: count what is denied.
            leadership: asked before each write.
        """
        self._api = api
        self._cache = cache
        self._identity = identity
        self._metrics = metrics
        self._leadership = leadership
        self.denials = Denials()

    async def perform(self, manifest: Mapping[str, Any], decision: Decision) -> bool:
        """Perform all actions in order, then write the status, then post the events.

        An action that is denied or fails does not keep the others from being performed, except
        those that need it, nor the status from being written. Once the server has not replied
        several times, only the status is tried.

        Args:
            manifest: manifest of the job, as it was observed.
            decision: the decision about the job.

        Returns:
            Whether the status is written; otherwise another pass is due, which knows why an action
            failed.

        Raises:
            ApiError: the status can't be written now; so do aiohttp.ClientError and OSError.
        """
        key = _key(manifest)
        attempt = self.denials.begin(key, manifest["metadata"]["name"])
        new = False
        try:
            await self._try_all(manifest, decision, attempt)
        except _TakenError as taken:
            new = self._cache.take(key, taken.ref)
            attempt.interrupt()
        except _RefusedError as refused:
            new = self._cache.refuse(key, refused.ref, refused.refusal)
            attempt.interrupt()
        except BaseException:
            attempt.interrupt()
            raise
        finally:
            new = self.denials.end(key, attempt) or new
        silent = attempt.silent >= _MOST_SILENT
        if new and not silent:
            return False
        if decision.status is not None:
            await self._tell(manifest, decision.status)
        if silent:
            return False
        for event in decision.events:
            await self._post(manifest, event)
        return True

    async def _try_all(
        self, manifest: Mapping[str, Any], decision: Decision, attempt: Attempt
    ) -> None:
        for action in decision.actions:
            if isinstance(action, Apply) and action.on_trial:
                await self._try(manifest, action, attempt, dryRun="All")
        lacking = False
        for action in decision.actions:
            if not (lacking and needs_others(action)):
                await self._try(manifest, action, attempt)
            lacking = lacking or (attempt.is_denied(action) and is_needed(action))
        if attempt.silent >= _MOST_SILENT:
            attempt.interrupt()

    async def _try(
        self, manifest: Mapping[str, Any], action: Action, attempt: Attempt, **query: str
    ) -> None:
        """Perform an action, unless it is not due; what the server or the network says is recorded.

        An exception of another kind is a bug: it ends the pass, with its traceback in the log.
        """
        if attempt.silent >= _MOST_SILENT or attempt.waits(action):
            return
        try:
            if query and isinstance(action, Apply):
                await self._apply(manifest, action, **query)
            else:
                await self._act(manifest, action)
        except ApiError as error:
            denied = is_denial(error, action)
            seconds = attempt.deny(
                action,
                error.message if denied else str(error),
                passing=not denied,
                at_least=error.retry_after,
            )
            self._undone(manifest, action, error.reason, str(error), seconds)
        except UNREACHABLE as error:
            attempt.silent += 1
            kind = type(error).__name__
            said = f"no reply of the API server: {str(error) or kind}"
            seconds = attempt.deny(action, said, passing=True)
            self._undone(manifest, action, kind, said, seconds)

    def _undone(
        self, job: Mapping[str, Any], action: Action, kind: str, error: str, seconds: float
    ) -> None:
        self._metrics.error(kind)
        log.warning(
            "action.failed",
            job=_key(job),
            action=type(action).__name__,
            error=error,
            again_seconds=round(seconds, 1),
        )

    async def _request(self, method: str, path: str, body: bytes, **options: Any) -> bytes:
        """Send a write; all writes are sent here.

        Raises:
            NotLeadingError: another operator may lead by now.
        """
        self._leadership.check()
        return await self._api.request(method, path, body, **options)

    async def _act(self, manifest: Mapping[str, Any], action: Action) -> None:
        namespace = manifest["metadata"]["namespace"]
        match action:
            case Apply():
                await self._apply(manifest, action)
            case Create():
                await self._create(manifest, action)
            case Scale():
                await self._scale(namespace, action)
            case Delete():
                for kind in kinds_named(action.ref.kind):
                    await self._delete(kind.path(namespace, action.ref.name), action.uid)
            case Annotate():
                await self._annotate(namespace, action)
            case Keep():
                await self._keep(manifest, action)
            case Finalizer():
                await self._finalizer(manifest, present=action.present)
            case DeleteJob():
                metadata = manifest["metadata"]
                await self._delete(RLJOB.path(namespace, metadata["name"]), metadata["uid"])

    async def _apply(self, job: Mapping[str, Any], action: Apply, **query: str) -> None:
        kind = _kind(action.manifest)
        manifest = action.manifest
        if action.uid is not None:
            # No object has resource version 1, so the apply either creates or is refused.
            condition = {"uid": action.uid} if action.uid else {"resourceVersion": "1"}
            manifest = {**manifest, "metadata": {**manifest["metadata"], **condition}}
        try:
            await self._write(
                "PATCH",
                kind,
                kind.path(job["metadata"]["namespace"], action.ref.name),
                manifest,
                content_type=APPLY_PATCH,
                query={"fieldManager": names.MANAGER, "force": "true", **query},
            )
        except ApiError as error:
            if not is_denial(error, action) and _is_refusal(error):
                applied = manifest["metadata"]["annotations"][names.ANNOTATION_APPLIED]
                raise _RefusedError(action.ref, Refusal(applied, error.message)) from error
            if action.uid != "" or error.code != _CONFLICT:
                raise
            uid = await self._uid_of_own(job, kind, action.ref)
            if uid is None:
                raise  # nothing has its name: the conflict was about something else
            if not uid:
                raise _TakenError(action.ref) from error
            await self._apply(job, replace(action, uid=uid), **query)

    async def _uid_of_own(self, job: Mapping[str, Any], kind: Kind, ref: Ref) -> str | None:
        """Uid of a child that no watch has seen: it is too new, or has lost its label.

        Returns:
            "" if the object of this name is not the job's; None if there is no such object.
        """
        found = None
        metadata = job["metadata"]
        selector = {"fieldSelector": f"metadata.name={ref.name}"}
        async for page, _ in pages(self._api, kind, metadata["namespace"], Partial, selector):
            for item in page:
                is_own = item.metadata.controller.uid == metadata["uid"]
                found = item.metadata.uid if is_own else ""
        return found

    async def _create(self, job: Mapping[str, Any], action: Create) -> None:
        kind = _kind(action.manifest)
        try:
            await self._write(
                "POST",
                kind,
                kind.path(job["metadata"]["namespace"]),
                action.manifest,
                content_type=JSON,
                query={"fieldManager": names.MANAGER},
            )
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            if kind.watched:
                raise _TakenError(action.ref) from error
            # It is the job's own: its name has the job's uid in it.

    async def _write(
        self,
        method: str,
        kind: Kind,
        path: str,
        manifest: Mapping[str, Any],
        *,
        content_type: str,
        query: Mapping[str, str],
    ) -> None:
        item = item_type(kind)
        reply = await self._request(
            method,
            path,
            encode(manifest),
            content_type=content_type,
            accept=PARTIAL if item is Partial else JSON,
            query=query,
        )
        if kind.watched and "dryRun" not in query:
            self._cache.applied(kind, msgspec.json.decode(reply, type=item))

    async def _scale(self, namespace: str, action: Scale) -> None:
        (kind,) = kinds_named(action.ref.kind)
        body = {"metadata": {"uid": action.uid}, "spec": {"replicas": action.replicas}}
        with _gone_or_replaced():
            await self._write(
                "PATCH",
                kind,
                kind.path(namespace, action.ref.name),
                body,
                content_type=MERGE_PATCH,
                query={"fieldManager": names.MANAGER},
            )

    async def _delete(self, path: str, uid: str) -> None:
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        with _gone_or_replaced():
            await self._request("DELETE", path, encode(body), accept=PARTIAL)

    async def _annotate(self, namespace: str, action: Annotate) -> None:
        await self._patch_pod(namespace, action.pod, {"annotations": action.annotations})

    async def _keep(self, job: Mapping[str, Any], action: Keep) -> None:
        metadata = {
            "uid": action.uid,
            "labels": {names.LABEL_ROLE: None},  # which the selector of its workload asks for
            "ownerReferences": [owner(job["metadata"]["name"], job["metadata"]["uid"])],
        }
        spec = {"activeDeadlineSeconds": 1}
        with _gone_or_replaced():
            await self._patch_pod(job["metadata"]["namespace"], action.pod, metadata, spec=spec)

    async def _patch_pod(
        self, namespace: str, name: str, metadata: Mapping[str, Any], **parts: Any
    ) -> None:
        """Merge patch of a pod; not an error if it is gone."""
        try:
            reply = await self._request(
                "PATCH",
                POD.path(namespace, name),
                encode({"metadata": metadata, **parts}),
                content_type=MERGE_PATCH,
                query={"fieldManager": names.MANAGER},
            )
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise
        else:
            self._cache.put(POD, msgspec.json.decode(reply, type=item_type(POD)))

    async def _finalizer(self, manifest: Mapping[str, Any], *, present: bool) -> None:
        metadata = manifest["metadata"]
        others = [each for each in metadata.get("finalizers", []) if each != names.FINALIZER]
        # A merge patch replaces the whole list; the resource version guards against other changes.
        change = {
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "finalizers": [*others, names.FINALIZER] if present else others,
        }
        await self._patch_job(manifest, {"metadata": change})

    async def _tell(self, manifest: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        change = merge_patch(manifest.get("status") or {}, status)
        if change:
            body = {"metadata": {"uid": manifest["metadata"]["uid"]}, "status": change}
            await self._patch_job(manifest, body, "/status")

    async def _patch_job(
        self, manifest: Mapping[str, Any], body: Mapping[str, Any], subresource: str = ""
    ) -> None:
        metadata = manifest["metadata"]
        path = RLJOB.path(metadata["namespace"], metadata["name"]) + subresource
        try:
            reply = await self._request(
                "PATCH",
                path,
                encode(body),
                content_type=MERGE_PATCH,
                query={"fieldManager": names.MANAGER},
            )
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise
            self._cache.drop_job(_key(manifest), metadata["uid"])
        else:
            self._cache.put_job(msgspec.json.decode(reply))

    async def _post(self, manifest: Mapping[str, Any], event: Event) -> None:
        """Post an event; a failure is only logged, because the status says the same."""
        metadata = manifest["metadata"]
        body = {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.name,
            "metadata": {
                "name": f"{metadata['name']}.{secrets.token_hex(8)}",
                "namespace": metadata["namespace"],
            },
            "eventTime": datetime.now(UTC).isoformat(timespec="microseconds"),
            "reportingController": _CONTROLLER,
            "reportingInstance": self._identity[:128],
            "action": "Reconcile",
            "type": event.type,
            "reason": event.reason,
            "note": event.message.encode()[:_LONGEST_NOTE].decode(errors="ignore"),
            "regarding": {
                "apiVersion": RLJOB.api_version,
                "kind": RLJOB.name,
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
        }
        try:
            path = EVENT.path(metadata["namespace"])
            await self._request("POST", path, encode(body), accept=PARTIAL)
        except (ApiError, *UNREACHABLE) as error:
            log.warning("event.lost", job=metadata["name"], reason=event.reason, error=str(error))


class _TakenError(Exception):
    """An object that does not belong to the job has the name of a child."""

    def __init__(self, ref: Ref) -> None:
        super().__init__(f"{ref.kind} {ref.name}")
        self.ref = ref


class _RefusedError(Exception):
    """The API server refuses a child."""

    def __init__(self, ref: Ref, refusal: Refusal) -> None:
        super().__init__(f"{ref.kind} {ref.name}: {refusal.message}")
        self.ref = ref
        self.refusal = refusal


def _is_refusal(error: ApiError) -> bool:
    """Whether the same apply would be refused again."""
    if error.code in _REFUSED:
        return _OTHER_UID not in error.message
    return error.message.startswith(_NOT_TYPED)  # which comes with code 500


@contextmanager
def _gone_or_replaced() -> Iterator[None]:
    """Ignore that an object is gone, or that another one has its name now."""
    try:
        yield
    except ApiError as error:
        if error.code not in (_NOT_FOUND, _CONFLICT):
            raise


def _key(job: Mapping[str, Any]) -> str:
    return f"{job['metadata']['namespace']}/{job['metadata']['name']}"


def _kind(manifest: Mapping[str, Any]) -> Kind:
    return kind_of(manifest["apiVersion"], manifest["kind"])
