"""The operator's settings, from its command line."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's own settings.

    Args:
        namespaces: namespaces whose jobs it manages; none: all namespaces.
        own_namespace: namespace of its Lease and its key.
        identity: unique name among the candidates for leader, e.g. the pod's name.
        host: address of the metrics port.
        metrics_port: port of /metrics, /healthz and /readyz.
        workers: maximum number of concurrent passes.
        resync_seconds: seconds between two full lists, which find what a watch has missed.
        leader_election: False: it leads at once, because it is the only operator.
        trainer_image: default image of the trainer.
        rollout_image: default image of the rollout.
    """

    namespaces: tuple[str, ...]
    own_namespace: str
    identity: str
    host: str
    metrics_port: int
    workers: int
    resync_seconds: float
    leader_election: bool
    trainer_image: str
    rollout_image: str

    @property
    def scopes(self) -> tuple[str | None, ...]:
        """The namespaces to watch; (None,): all at once."""
        return self.namespaces or (None,)


def floats(image: str) -> bool:
    """Whether an image is named without a digest, and without a tag or by the tag latest."""
    _, _, tag = image.rpartition("/")[2].partition(":")
    return "@" not in image and tag in ("", "latest")
