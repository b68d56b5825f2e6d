"""Strategic merge of a user's overlay into a pod template, like `kubectl patch`.

The merge keys are those of the core API types (patchMergeKey in k8s.io/api/core/v1). Invalid parts
of an overlay are kept as they are: the API server reports what is wrong with them.
"""

from collections.abc import Mapping
from typing import Any

# Lists that are merged item by item, and the field that identifies an item. All other lists are
# replaced.
MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "resourceClaims": "name",
    "schedulingGates": "name",
}
_DIRECTIVE = "$patch"  # replace or delete
_RETAIN = "$retainKeys"  # all other fields are removed
# Volumes, variables and claims have a single source. If an overlay names another one, kubectl's
# result has two, which the API server refuses; here the overlay's source replaces the other.
_ONE_SOURCE = ("volumes", "env", "resourceClaims", "valueFrom")


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """A new mapping: `base` with `overlay` merged into it; null removes a field."""
    if overlay.get(_DIRECTIVE) == "replace":
        return _plain(overlay)
    merged = dict(base)
    retained = overlay.get(_RETAIN)
    if isinstance(retained, list):
        merged = {key: value for key, value in merged.items() if key in retained}
    for key, value in _plain(overlay).items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            if value.get(_DIRECTIVE) == "delete":
                merged.pop(key, None)
            else:
                merged[key] = _merge_part(key, merged.get(key), value)
        elif key in MERGE_KEYS and _are_mappings(value):
            merged[key] = _merge_items(key, merged.get(key) or [], value)
        else:
            merged[key] = value
    return merged


def _merge_part(name: str, base: Any, overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Merge a field that is a mapping, or an item of a list field."""
    here = base if isinstance(base, Mapping) else {}
    if name in _ONE_SOURCE:
        key = MERGE_KEYS.get(name)
        sources = {source for source in overlay if source != key and overlay[source] is not None}
        if sources:
            here = {field: here[field] for field in here if field in sources or field == key}
    return merge(here, overlay)


def _merge_items(name: str, base: list[Any], overlay: list[Any]) -> list[Any]:
    if any(item.get(_DIRECTIVE) == "replace" for item in overlay):
        base = []
    key = MERGE_KEYS[name]
    merged = {_place(item.get(key)): item for item in base}
    for item in overlay:
        place = _place(item.get(key))
        match item.get(_DIRECTIVE):
            case "replace":
                pass
            case "delete":
                merged.pop(place, None)
            case _:
                merged[place] = _merge_part(name, merged.get(place), item)
    return list(merged.values())


def _place(value: Any) -> Any:
    """The value of a merge key; one that is not a string or a number matches no other item."""
    return value if isinstance(value, str | int) else repr(value)


def _are_mappings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)


def _plain(overlay: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in overlay.items() if key not in (_DIRECTIVE, _RETAIN)}
