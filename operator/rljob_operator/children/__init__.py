"""The children of a job: pure functions from the job to manifests."""

from rljob.api import RLJob
from rljob_operator.children.buffer import buffer
from rljob_operator.children.claim import claims
from rljob_operator.children.disruption_budget import disruption_budgets
from rljob_operator.children.job_file import config_map
from rljob_operator.children.keys import secret
from rljob_operator.children.network_policy import network_policy
from rljob_operator.children.pod_group import pod_groups
from rljob_operator.children.pod_monitor import pod_monitors
from rljob_operator.children.rollout import rollout
from rljob_operator.children.router import router
from rljob_operator.children.service_account import service_account
from rljob_operator.children.trainer import trainer
from rljob_operator.children.wanted import Subject, Want, Wanted
from rljob_operator.observed import Cluster

__all__ = ["Want", "Wanted", "children"]


def children(job: RLJob, uid: str, want: Want, cluster: Cluster) -> list[Wanted]:
    """All children of a job, in the order in which they are applied.

    Args:
        job: the job from the API server.
        uid: uid of the job.
        want: replicas that must run now.
        cluster: what the cluster supports.
    """
    subject = Subject(job, uid, want, cluster)
    return [
        service_account(subject),
        secret(subject),
        config_map(subject),
        network_policy(subject),
        *claims(subject),
        *pod_groups(subject),
        *buffer(subject),
        *trainer(subject),
        *rollout(subject),
        *router(subject),
        *disruption_budgets(subject),
        *pod_monitors(subject),
    ]
