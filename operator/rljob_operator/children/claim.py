"""The claim for the run directory."""

from typing import Any

from rljob_operator.children.wanted import Subject, Wanted, child

VOLUME = "run"


def claims(subject: Subject) -> list[Wanted]:
    """The claim, unless the job names an existing one."""
    storage = subject.job.spec.storage.run
    if storage.claim_name is not None:
        return []
    several = subject.job.spec.trainer.replicas > 1 or reads_weights(subject)
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteMany" if several else "ReadWriteOnce"],
        "resources": {"requests": {"storage": storage.size}},
    }
    if storage.storage_class is not None:
        spec["storageClassName"] = storage.storage_class
    return [
        child(
            subject,
            "PersistentVolumeClaim",
            "v1",
            _name(subject),
            {"spec": spec},
            once=True,  # a bound claim can't be changed
            outlives=storage.on_delete == "Retain",
        )
    ]


def volume(subject: Subject) -> dict[str, Any]:
    """The volume of the run directory."""
    return {"name": VOLUME, "persistentVolumeClaim": {"claimName": _name(subject)}}


def reads_weights(subject: Subject) -> bool:
    """Whether engines in separate pods read weights from the run directory."""
    return subject.job.spec.weights.transport == "disk"


def _name(subject: Subject) -> str:
    return subject.job.spec.storage.run.claim_name or f"{subject.name}-run"
