"""The Redis-protocol server between trainer and rollout."""

from typing import Any

from pydantic import Field

from rljob.api.base import DATA_KEY, QUANTITY, REDIS_URL, ObjectName, Part


class SecretKeyRef(Part):
    """A key of a Secret in the job's namespace."""

    name: ObjectName = Field(description="Name of the Secret.")
    key: str = Field(pattern=DATA_KEY, max_length=253, description="Key in the Secret.")


class ExternalBufferSpec(Part):
    """The user's own Redis or Valkey."""

    url: str | None = Field(
        None,
        pattern=REDIS_URL,
        max_length=1024,
        description="redis:// or rediss:// URL without a password (for `rljob run`).",
    )
    url_secret_ref: SecretKeyRef | None = Field(
        None, description="Secret with the URL (on Kubernetes)."
    )


class PersistenceSpec(Part):
    """Disk of the embedded server."""

    size: str = Field(
        "10Gi",
        pattern=QUANTITY,
        max_length=128,
        description="Size of the volume, a Kubernetes quantity.",
    )


class BufferSpec(Part):
    """An embedded server, optionally with persistence, or an external one."""

    memory: str | None = Field(
        None,
        pattern=QUANTITY,
        max_length=128,
        description="Memory for the data of the embedded server, a Kubernetes quantity. When it "
        "is full, workers and trainer wait for room. Default: a quarter of the memory of the "
        "machine or container.",
    )

    persistence: PersistenceSpec | None = Field(
        None, description="Volume of the embedded server. Default: none."
    )
    external: ExternalBufferSpec | None = Field(
        None, description="Use this server instead of an embedded one."
    )
    template: dict[str, Any] = Field(
        default_factory=dict,
        description="Pod template overlay of the embedded server, by strategic merge.",
    )
