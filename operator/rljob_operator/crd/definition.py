"""The CustomResourceDefinition as a whole."""

from typing import Any

from rljob.api import API_VERSION, KIND
from rljob.api.vocabulary import part_of, root
from rljob_operator.crd.immutable import transitions
from rljob_operator.crd.rules import of_the_manifest, place
from rljob_operator.crd.schema import spec_and_status

GROUP, VERSION = API_VERSION.split("/")
PLURAL = "rljobs"

# Header, type, path and description of the columns of `kubectl get`.
COLUMNS = (
    ("Phase", "string", ".status.phase", "Phase of the job."),
    ("Reason", "string", ".status.reason", "What keeps the job from running."),
    (
        "Rollout",
        "string",
        ".status.progress.display",
        "Rollout batches done and in total.",
    ),
    ("Reward", "number", ".status.progress.reward", "Mean reward of the last rollout batch."),
    ("Version", "integer", ".status.weights.version", "Published weight version."),
    ("Replicas", "integer", ".status.rollout.replicas", "Rollout replicas."),
    ("Age", "date", ".metadata.creationTimestamp", "Time since the job was created."),
)


def definition() -> dict[str, Any]:
    """The CRD, ready to be applied."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["rlj"],
                "categories": ["all", "rljob"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": object_schema()},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.rollout.replicas",
                            "statusReplicasPath": ".status.rollout.replicas",
                            "labelSelectorPath": ".status.rollout.selector",
                        },
                    },
                    "additionalPrinterColumns": [
                        {"name": name, "type": kind, "jsonPath": path, "description": description}
                        for name, kind, path, description in COLUMNS
                    ],
                }
            ],
        },
    }


def object_schema() -> dict[str, Any]:
    """The schema of an RLJob; a CRD can only restrict the name in the metadata."""
    manifest = root()
    metadata = part_of(manifest["properties"]["metadata"])
    assert metadata is not None
    name = metadata["properties"]["name"]
    schema: dict[str, Any] = {
        "type": "object",
        "description": manifest["description"],
        "required": ["metadata", "spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {API_VERSION}."},
            "kind": {"type": "string", "description": f"Always {KIND}."},
            "metadata": {
                "type": "object",
                "properties": {
                    "name": {key: name[key] for key in ("type", "pattern", "maxLength")},
                },
            },
            **spec_and_status(manifest),
        },
    }
    place(of_the_manifest(), schema)
    place(transitions(schema["properties"]["spec"]), schema)
    return schema
