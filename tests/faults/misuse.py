"""Changes of a running job, one after another, and the required result of each."""

import base64
import copy
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rljob.api.change import effect
from rljob_operator import names
from rljob_operator.children import Want, children
from rljob_operator.key import NAME as KEY
from rljob_operator.kind import CHILDREN, RLJOB
from rljob_operator.merge_patch import merge_patch
from rljob_operator.observed import Cluster
from rljob_operator.policies.acceptance import accept
from tests.cluster.client import ApiError, Client, Manifest
from tests.cluster.crd import RESOURCE
from tests.faults.values import Change

IMAGES = {"trainer": "trainer:1", "rollout": "rollout:1"}
_SECONDS = 60.0
_REFUSED = (400, 422)
_KINDS = [kind for kind in CHILDREN if not kind.optional]
_GIVEN = ("clusterIP", "clusterIPs", "volumeName")  # by the cluster


@dataclass
class Living:
    """A job under way.

    Args:
        client: in its namespace.
        name: of the job.
        spec: that it was made with.
        fates: what became of the changes, each by its number.
    """

    client: Client
    name: str
    spec: Manifest
    fates: Counter[str] = field(default_factory=Counter)

    def create(self) -> None:
        """Makes it, and returns when its children are there."""
        made = self.client.create(
            {
                "apiVersion": RLJOB.api_version,
                "kind": RLJOB.name,
                "metadata": {"name": self.name},
                "spec": self.spec,
            }
        )
        self.spec = made["spec"]  # with its defaults
        accepted = self._accepted()
        assert accepted[0] == "True", accepted[1]
        self._wait(lambda: not self._missing(), lambda: f"{self.name}: {self._missing()}")

    def try_out(self, changes: Sequence[Change]) -> None:
        """Changes a field step by step, and sets it back.

        Raises:
            AssertionError: something else came of a change than must.
        """
        before = self._children()
        for change in changes:
            self._try(change)
        self._set(self.spec)
        accepted = self._accepted()
        assert accepted[0] == "True", f"{changes[-1]}, set back: {accepted[1]}"
        self._wait(
            lambda: self._children() == before,
            lambda: f"{changes[-1]}, set back: {_difference(before, self._children())}",
        )

    def restore(self) -> None:
        """Makes it as it was, after a change that went wrong."""
        self._set(self.spec)
        self._wait(lambda: not self._missing(), lambda: f"{self.name}: {self._missing()}")

    def _try(self, change: Change) -> None:
        immutable = effect(change.path) == "immutable"
        # Where a part is given or taken away with its only field, the part is named.
        parts = change.path.replace("[]", "").split(".")[-2:]
        before = self._children()
        try:
            self._set(changed(self.spec, change))
        except ApiError as error:
            assert error.code in _REFUSED, f"{change}: {error}"
            named = any(part in error.message for part in parts)
            assert named, f"{change}: refused without its name: {error.message}"
            # A part that is given with this field alone may lack another that it needs.
            excused = immutable or "Required value" in error.message
            assert excused or change.kind != "other", f"{change}: refused: {error.message}"
            assert self._children() == before, f"{change}: refused, and children change"
            self.fates["refused by the API server"] += 1
            return
        assert not immutable, f"{change}: not refused"
        accepted, message = self._accepted()
        if accepted == "False":
            named = any(part in message for part in parts)
            assert named, f"{change}: not accepted without its name: {message}"
            now = self._children()
            assert now == before, f"{change}: not accepted, yet {_difference(before, now)}"
            self.fates["not accepted by the operator"] += 1
            return
        assert change.kind != "invalid", f"{change}: accepted"
        self._wait(lambda: not self._missing(), lambda: f"{change}: {self._missing()}")
        self.fates["reached"] += 1

    def _accepted(self) -> tuple[str, str]:
        """The condition's status and message, once the operator has seen the last change."""
        found: list[Manifest] = []

        def seen() -> bool:
            job = self.client.get(RESOURCE, self.name)
            status = job.get("status", {})
            found[:] = [c for c in status.get("conditions", []) if c["type"] == "Accepted"]
            return bool(status.get("observedGeneration") == job["metadata"]["generation"])

        self._wait(seen, lambda: f"{self.name}: a change is not seen; {found}")
        return found[0]["status"], found[0]["message"]

    def _missing(self) -> list[str]:
        """What of the desired state is not there."""
        manifest = self.client.get(RESOURCE, self.name)
        job, _, message = accept(manifest)
        assert job is not None, message
        rollout = job.spec.rollout.replicas
        if job.spec.rollout.autoscaling.mode == "Rate":
            rollout = manifest["status"]["rollout"]["desired"]
        want = Want(job.spec.trainer.replicas, rollout, 1, 1)
        data = self.client.get("v1/secrets", KEY)["data"]
        cluster = Cluster(key=base64.b64decode(data["cluster.key"]), images=IMAGES)
        wanted = {
            f"{each.ref.kind}/{each.ref.name}": _plain(each.manifest)
            for each in children(job, manifest["metadata"]["uid"], want, cluster)
        }
        there = self._children()
        if job.spec.suspend:  # they come to rest as they are
            counts = {place: each.get("spec", {}).get("replicas") for place, each in there.items()}
            return [f"{place} has {count} replicas" for place, count in counts.items() if count]
        lacking = [lacks(there.get(place), each, place) for place, each in wanted.items()]
        left = [f"{place} is left" for place in there if place not in wanted]
        return [each for each in lacking + left if each]

    def _children(self) -> dict[str, Manifest]:
        """All of the job's, as they stand, without what the cluster itself writes."""
        return {
            f"{kind.name}/{each['metadata']['name']}": _plain(each)
            for kind in _KINDS
            for each in self.client.list(
                f"{kind.api_version}/{kind.plural}", f"{names.LABEL_JOB}={self.name}"
            )
        }

    def _set(self, spec: Manifest) -> None:
        difference = merge_patch(self.client.get(RESOURCE, self.name)["spec"], spec)
        if difference:
            self.client.patch(RESOURCE, self.name, {"spec": difference})

    def _wait(self, condition: Callable[[], bool], what: Callable[[], str]) -> None:
        until = time.monotonic() + _SECONDS
        while not condition():
            assert time.monotonic() < until, what()
            time.sleep(0.1)


def at(spec: Manifest, path: str) -> Any:
    """The value of a field; None where it is not given."""
    part: Any = spec
    for step in path.split("."):
        if part is None:
            return None
        part = part.get(step.removesuffix("[]"))
        if step.endswith("[]"):
            part = part[0] if part else None
    return part


def changed(spec: Manifest, change: Change) -> Manifest:
    """The spec with one field changed."""
    made = copy.deepcopy(spec)
    part: Any = made
    *outer, name = change.path.split(".")
    for step in outer:
        part = part.setdefault(step.removesuffix("[]"), {})
        part = part[0] if step.endswith("[]") else part
    part[name] = change.value
    return made


def lacks(there: Any, wanted: Any, place: str) -> str:
    """The first thing that an object of the API server lacks of what is wanted; "" for nothing."""
    if not wanted and not there:
        return ""  # the server leaves out what is empty
    if isinstance(wanted, Mapping) and isinstance(there, Mapping):
        parts = [(f"{place}.{name}", there.get(name), each) for name, each in wanted.items()]
    elif isinstance(wanted, list) and isinstance(there, list) and len(there) == len(wanted):
        parts = [(f"{place}[{i}]", there[i], each) for i, each in enumerate(wanted)]
    else:
        return "" if there == wanted else f"{place} is {there}, wanted {wanted}"
    return next((lack for name, old, new in parts if (lack := lacks(old, new, name))), "")


def _plain(manifest: Mapping[str, Any]) -> Manifest:
    metadata = manifest["metadata"]
    made = {
        "labels": metadata["labels"],
        "annotations": {
            name: value
            for name, value in metadata["annotations"].items()
            if name.startswith("rljob.dev/")
        },
        "owners": [each["uid"] for each in metadata.get("ownerReferences", [])],
        "deleting": "deletionTimestamp" in metadata,
    }
    # A Secret is written as stringData, and is told by its annotation.
    if "data" in manifest and manifest.get("type") != "Opaque":
        made["data"] = manifest["data"]
    if "spec" in manifest:
        made["spec"] = {k: v for k, v in manifest["spec"].items() if k not in _GIVEN}
    return made


def _difference(before: dict[str, Manifest], now: dict[str, Manifest]) -> str:
    return "\n".join(
        f"{place} was {before.get(place)}, is {now.get(place)}"
        for place in sorted({*before, *now})
        if before.get(place) != now.get(place)
    )
