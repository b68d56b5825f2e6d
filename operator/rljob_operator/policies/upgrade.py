"""An upgrade of the operator leaves running jobs alone.

Another version, or other defaults, would make other pods of the same job, which would restart it.
So what pods are made of stays as it is until the job's own spec changes it, or the job rests. The
roles of a job must fit each other: either all of them stay, or none.
"""

from collections.abc import Sequence

from rljob_operator.children import Wanted
from rljob_operator.observed import Ref
from rljob_operator.state import Look


def held(look: Look, wanted: Sequence[Wanted]) -> frozenset[Ref]:
    """The workloads, and their job file, that stay as an earlier operator made them.

    Args:
        look: the observed job.
        wanted: all children, as this operator makes them.
    """
    makers = [each for each in wanted if each.inputs]
    if look.status.active_since is None or not all(_stays(look, each) for each in makers):
        return frozenset()
    # Of two operators, if one failed while it made all anew: that has to be finished.
    earlier = {look.observed.children[each.ref].made_by for each in makers}
    if len(earlier) != 1 or earlier == {makers[0].made_by}:
        return frozenset()
    return frozenset(each.ref for each in makers)


def remade(look: Look, wanted: Sequence[Wanted]) -> tuple[str, str] | None:
    """The earlier operator and this one, if children of an earlier one are made anew."""
    for each in wanted:
        child = look.observed.children.get(each.ref)
        if each.inputs and child is not None and child.made_by not in ("", each.made_by):
            return child.made_by, each.made_by
    return None


def _stays(look: Look, wanted: Wanted) -> bool:
    child = look.observed.children.get(wanted.ref)
    if child is None or not child.owned or child.deleting or child.inputs != wanted.inputs:
        return False
    replicas = wanted.manifest.get("spec", {}).get("replicas")
    if replicas is None or child.replicas == replicas:
        return child.foreign is None  # what someone else changed can only be made anew
    return child.replicas > 0  # otherwise it starts
