"""How the operator runs: what its command line says."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's own settings.

    Args:
        namespaces: whose jobs it looks after; none: those of all namespaces.
        own_namespace: where its Lease and its key are.
        identity: its name among the operators that could lead, e.g. its pod's.
        host: address of the metrics port.
        metrics_port: of /metrics, /healthz and /readyz.
        workers: jobs that are worked on at a time.
        resync_seconds: between two looks at everything, which finds what a watch has lost.
        leader_election: False: it leads at once, because there is no other.
        trainer_image: for jobs that name none.
        rollout_image: for jobs that name none.
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
