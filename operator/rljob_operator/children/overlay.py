"""Strategic merge of a user's overlay into a pod template, as `kubectl patch` does it.

The merge keys are those of the core API's types (patchMergeKey in k8s.io/api/core/v1).
"""

from collections.abc import Mapping
from typing import Any

# Lists that are merged item by item, and the field that tells their items apart. All other lists
# are replaced.
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
}
_DIRECTIVE = "$patch"  # replace or delete
# Of a volume, and of a variable's value, there is one source: another one takes its place.
_ONE_SOURCE = {"volumes": "name", "env": "name"}


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """A new mapping: `base` with `overlay` over it; null removes a field."""
    if overlay.get(_DIRECTIVE) == "replace":
        return _plain(overlay)
    merged = dict(base)
    for key, value in overlay.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            if value.get(_DIRECTIVE) == "delete":
                merged.pop(key, None)
            else:
                here = merged.get(key)
                merged[key] = merge(here if isinstance(here, Mapping) else {}, value)
        elif isinstance(value, list) and key in MERGE_KEYS:
            merged[key] = _merge_items(key, merged.get(key) or [], value)
        else:
            merged[key] = value
    return merged


def _merge_items(name: str, base: list[Any], overlay: list[Any]) -> list[Any]:
    if {_DIRECTIVE: "replace"} in overlay:
        return [_plain(item) for item in overlay if item != {_DIRECTIVE: "replace"}]
    key = MERGE_KEYS[name]
    merged = {item.get(key): item for item in base}
    for item in overlay:
        place = item.get(key)
        if item.get(_DIRECTIVE) == "delete":
            merged.pop(place, None)
        elif name in _ONE_SOURCE and len(item) > 1:
            merged[place] = merge({}, item)
        else:
            merged[place] = merge(merged.get(place, {}), item)
    return list(merged.values())


def _plain(overlay: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in overlay.items() if key != _DIRECTIVE}
