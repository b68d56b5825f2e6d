"""Detects from managedFields whether another manager took over fields of a child.

The API server records the set of fields that each manager owns. A manager that changes or removes
one of the operator's fields owns it from then on, and the operator's set shrinks; fields that
others add do not change it. So comparing two digests of the set shows whether an apply is due.
"""

from rljob_operator import names
from rljob_operator.objects import Metadata

# Parts of Kubernetes that also write outside the status: revisions, volumes, nodes.
_CONTROLLERS = ("kube-controller-manager", "kube-scheduler", "kube-apiserver", "kubelet")
_SUBRESOURCES = ("", "scale")


def own_fields(metadata: Metadata) -> int:
    """Digest of the fields that the operator owns."""
    return hash(
        tuple(bytes(each.fields) for each in metadata.managed_fields if _is_own(each.manager))
    )


def last_writer(metadata: Metadata, *, only_later: bool = False) -> str:
    """The manager that wrote last, apart from the operator and Kubernetes itself; "": none.

    Args:
        metadata: metadata of the child.
        only_later: ignore writes from before the second of the operator's last write.
    """
    own = max((each.time for each in metadata.managed_fields if _is_own(each.manager)), default="")
    others = [
        (each.time, each.manager)
        for each in metadata.managed_fields
        if not _is_own(each.manager)
        and each.manager not in _CONTROLLERS
        and each.subresource in _SUBRESOURCES
        and not (only_later and each.time < own)
    ]
    return max(others, default=("", ""))[1]


def _is_own(manager: str) -> bool:
    return manager == names.MANAGER
