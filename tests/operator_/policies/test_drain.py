"""Which rollout pods go first, judged as the ReplicaSet controller judges."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from rljob_operator.action import Annotate
from rljob_operator.observed import Pod, Report
from rljob_operator.policies.drain import COST, drain, engine_load

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pod(name: str, **changes: object) -> Pod:
    values = {
        "name": name,
        "uid": f"uid-{name}",
        "role": "rollout",
        "phase": "Running",
        "ready": True,
        "deleting": False,
        "ip": "127.0.0.1",
        "restarts": 0,
        "termination": None,
        "waiting": "",
        "trouble": "",
        "reason": "",
        "deletion_cost": None,
    }
    return Pod(**{**values, **changes})


PODS = st.lists(
    st.builds(
        pod,
        st.sampled_from(["a", "b", "c", "d", "e", "f"]),
        ready=st.booleans(),
        deleting=st.booleans(),
        role=st.sampled_from(["rollout", "rollout", "rollout", "router"]),
        phase=st.sampled_from(["Running", "Running", "Pending", "Failed"]),
        deletion_cost=st.sampled_from([None, None, -1, 7]),
    ),
    unique_by=lambda p: p.name,
)
LOADS = st.dictionaries(st.sampled_from(["a", "b", "c", "d", "e", "f"]), st.integers(0, 9))


def costs(pods: list[Pod], written: tuple[Annotate, ...]) -> dict[str, int]:
    """Costs after the annotations, 0 without one, as Kubernetes has it."""
    found = {each.name: each.deletion_cost or 0 for each in pods}
    for annotate in written:
        found[annotate.pod] = int(annotate.annotations[COST] or 0)
    return found


def test_the_least_loaded_go_and_only_they_are_written_to() -> None:
    pods = [pod("a"), pod("b"), pod("c"), pod("d")]
    assert drain(pods, 2, {"a": 5, "b": 1, "c": 3, "d": 2}) == (
        Annotate("b", {COST: "-1"}),
        Annotate("d", {COST: "-1"}),
    )


def test_one_that_is_not_ready_goes_before_one_that_lags_before_one_with_nothing_to_do() -> None:
    pods = [pod("idle"), pod("lags"), pod("starts", ready=False), pod("works")]
    load = {"idle": 0, "starts": 9, "works": 4}
    assert [each.pod for each in drain(pods, 3, load)] == ["starts"]
    assert [each.pod for each in drain(pods, 2, load)] == ["lags", "starts"]
    assert [each.pod for each in drain(pods, 1, load)] == ["idle", "lags", "starts"]


def test_nothing_is_written_where_nothing_goes_or_all_is_written() -> None:
    assert drain([pod("a"), pod("b")], 2, {"a": 1}) == ()
    assert drain([pod("a"), pod("b", deleting=True)], 1, {"a": 1}) == ()
    assert drain([pod("a"), pod("b", deletion_cost=-1)], 1, {"a": 1}) == ()


def test_a_cost_of_a_step_that_was_called_off_goes() -> None:
    pods = [pod("a", deletion_cost=-1), pod("b")]
    assert drain(pods, 1, {"a": 5, "b": 1}) == (
        Annotate("a", {COST: None}),
        Annotate("b", {COST: "-1"}),
    )


@given(PODS, st.integers(0, 6), LOADS)
def test_the_controller_takes_those_that_cost_least(
    pods: list[Pod], wanted: int, load: dict[str, int]
) -> None:
    written = drain(pods, wanted, load)
    there = [
        p
        for p in pods
        if p.role == "rollout" and not p.deleting and p.phase in ("Running", "Pending")
    ]
    surplus = max(0, len(there) - wanted)
    if surplus == 0:
        assert written == ()
        return
    after = costs(pods, written)
    # What the controller goes by, of what the policy can tell: ready, then cost.
    order = sorted(there, key=lambda p: (p.ready, after[p.name]))
    taken = order[:surplus]
    assert all(after[p.name] == -1 for p in taken)
    assert all(after[p.name] == 0 for p in order[surplus:])
    ready = [p for p in taken if p.ready]
    stays = [p for p in order[surplus:] if p.ready]
    assert all(load.get(g.name, -1) <= load.get(s.name, -1) for g in ready for s in stays)
    for annotate in written:
        (before,) = [p.deletion_cost for p in pods if p.name == annotate.pod]
        assert annotate.annotations != {COST: None if before is None else str(before)}
    changed = [replace(p, deletion_cost=after[p.name] or None) for p in pods]
    assert drain(changed, wanted, load) == ()


def test_the_load_of_a_report() -> None:
    assert engine_load(None) == {}
    assert engine_load(Report(NOW, {})) == {}
    assert engine_load(Report(NOW, {"engine_load": [1]})) == {}
    assert engine_load(Report(NOW, {"engine_load": {"a": 3, "b": "x", "c": True}})) == {"a": 3}
