"""Volumes and the run directory."""

from typing import Literal

from pydantic import Field

from rljob.api.base import BY_NAME, DNS_LABEL, MOUNT_PATH, QUANTITY, FilePath, ObjectName, Part


class RunStorageSpec(Part):
    """Where checkpoints, ledger, TensorBoard files and report go."""

    claim_name: ObjectName | None = Field(
        None, description="PersistentVolumeClaim (on Kubernetes)."
    )
    size: str = Field(
        "100Gi",
        pattern=QUANTITY,
        max_length=32,
        description="Size of the claim that the operator creates if claimName is not given, a "
        "Kubernetes quantity.",
    )
    storage_class: ObjectName | None = Field(
        None, description="StorageClass of that claim. Default: the cluster's."
    )
    on_delete: Literal["Retain", "Delete"] = Field(
        "Retain", description="What happens to that claim when the job is deleted."
    )
    directory: FilePath | None = Field(
        None,
        description="Directory (for `rljob run`). Default: runs/<name of the job>.",
    )


class VolumeSpec(Part):
    """A claim mounted into the trainer and the rollout."""

    name: str = Field(
        pattern=DNS_LABEL,
        max_length=58,  # the pod's volume is data-<name>
        description="Name of the volume.",
    )
    claim_name: ObjectName = Field(description="PersistentVolumeClaim.")
    mount_path: str = Field(
        pattern=MOUNT_PATH, max_length=1024, description="Absolute path in the containers."
    )
    read_only: bool = Field(False, description="Mount it read-only.")


class StorageSpec(Part):
    """The run's own storage, and additional volumes."""

    run: RunStorageSpec = Field(default_factory=RunStorageSpec, description="The run directory.")
    volumes: list[VolumeSpec] = Field(
        default_factory=list,
        max_length=64,
        json_schema_extra=BY_NAME,
        description="Additional volumes.",
    )
