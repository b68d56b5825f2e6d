"""Who wrote to a child, from its managedFields: whether another took over what the operator owns.

The API server keeps the set of fields that each manager owns. Whoever changes one of the operator's
fields, or removes it, owns it from then on, and the operator's set becomes smaller; additions of
others leave it as it is. So two digests of the set tell whether an apply is due.
"""

from rljob_operator import names
from rljob_operator.objects import Metadata

# Parts of Kubernetes that write beside the status: revisions, volumes, nodes.
_CONTROLLERS = ("kube-controller-manager", "kube-scheduler", "kube-apiserver", "kubelet")
_SUBRESOURCES = ("", "scale")


def own_fields(metadata: Metadata) -> int:
    """Digest of the fields that the operator owns."""
    return hash(
        tuple(bytes(each.fields) for each in metadata.managed_fields if _is_own(each.manager))
    )


def last_writer(metadata: Metadata, *, only_later: bool = False) -> str:
    """The manager who wrote last, besides the operator and Kubernetes itself; "": nobody.

    Args:
        metadata: of the child.
        only_later: only one who wrote in the second of the operator's last write, or later.
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
