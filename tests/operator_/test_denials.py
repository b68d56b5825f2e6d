"""When a denied action is tried again, and what waits for it."""

import pytest

from rljob_operator.action import Action, Apply, Create, Delete, Finalizer, Scale
from rljob_operator.api import ApiError
from rljob_operator.denials import Denials, is_denial, is_needed, needs_others
from rljob_operator.observed import Denial, Ref

BUFFER = Ref("StatefulSet", "job-buffer")
APPLY = Apply(BUFFER, {"spec": {"replicas": 1}}, "")
WORDS = 'statefulsets.apps "job-buffer" is forbidden: exceeded quota: none'


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def deny(denials: Denials, *actions: Action) -> bool:
    """One attempt in which all of these are denied."""
    attempt = denials.begin("team/job", "job")
    for action in actions:
        if not attempt.waits(action):
            attempt.deny(action, WORDS)
    return denials.end("team/job", attempt)


def test_it_is_new_once_and_then_waits_longer_each_time() -> None:
    clock = Clock()
    denials = Denials(clock)
    assert denials.again("team/job") is None
    assert deny(denials, APPLY)
    assert denials.of("team/job") == (Denial("apply", BUFFER, WORDS),)
    pauses = []
    for _ in range(9):
        again = denials.again("team/job")
        assert again is not None
        pauses.append(again)
        clock.now += again / 2
        assert denials.begin("team/job", "job").waits(APPLY)
        assert not deny(denials, APPLY)
        clock.now += again / 2 + 1e-6  # halves of a rounded difference need not reach it
        assert not denials.begin("team/job", "job").waits(APPLY)
        assert not deny(denials, APPLY)
    # 1 s, doubled, at most a minute; up to a fifth less, so that jobs do not come together.
    for pause, most in zip(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60], strict=True):
        assert 0.8 * most <= pause <= most


def test_a_failure_in_passing_is_told_from_the_second_time() -> None:
    clock = Clock()
    denials = Denials(clock)
    told = []
    for _ in range(3):
        attempt = denials.begin("team/job", "job")
        seconds = attempt.deny(APPLY, "500 Internal:\n no", passing=True)
        told.append(denials.end("team/job", attempt))
        clock.now += seconds
    assert told == [False, True, False]
    assert denials.of("team/job") == (Denial("apply", BUFFER, "500 Internal: no", passing=True),)
    assert denials.end("team/job", denials.begin("team/job", "job"))


def test_the_server_may_ask_to_wait_longer() -> None:
    denials = Denials(Clock())
    attempt = denials.begin("team/job", "job")
    assert attempt.deny(APPLY, "429", passing=True, at_least=30) == 30
    denials.end("team/job", attempt)
    assert denials.again("team/job") == 30


def test_another_action_with_the_object_is_tried_at_once() -> None:
    denials = Denials(Clock())
    deny(denials, APPLY)
    attempt = denials.begin("team/job", "job")
    assert not attempt.waits(Apply(BUFFER, {"spec": {"replicas": 2}}, ""))
    assert not attempt.waits(Scale(BUFFER, "uid", 0))
    assert not denials.begin("other/job", "job").waits(APPLY)


def test_what_is_no_longer_denied_is_new_too() -> None:
    denials = Denials(Clock())
    deny(denials, APPLY)
    assert denials.end("team/job", denials.begin("team/job", "job"))
    assert denials.of("team/job") == ()
    assert denials.again("team/job") is None


def test_what_was_not_reached_stays() -> None:
    denials = Denials(Clock())
    deny(denials, APPLY)
    attempt = denials.begin("team/job", "job")
    attempt.deny(Finalizer(True), "no")
    attempt.interrupt()
    denials.end("team/job", attempt)
    assert [each.ref for each in denials.of("team/job")] == [BUFFER, Ref("RLJob", "job")]


@pytest.mark.parametrize(
    ("code", "message", "action", "denied"),
    [
        (403, WORDS, APPLY, True),
        (403, "cannot delete resource", Delete(BUFFER, "uid"), True),
        (422, "ValidatingAdmissionPolicy 'a' with binding 'b' denied request: no", APPLY, True),
        (400, 'admission webhook "a.b" denied the request: no', APPLY, True),
        (500, 'Internal error occurred: failed calling webhook "a.b"', APPLY, True),
        (422, "spec.template.spec.containers[0].image: Required value", APPLY, False),
        (422, "spec.replicas: Invalid value", Scale(BUFFER, "uid", 0), True),
        (422, "metadata.uid: Invalid value: field is immutable", Scale(BUFFER, "uid", 0), False),
        (409, "the object has been modified", Finalizer(True), False),
        (500, "etcdserver: request timed out", APPLY, False),
        (429, "too many requests", APPLY, False),
    ],
)
def test_which_errors_are_answers(code: int, message: str, action: Action, denied: bool) -> None:
    assert is_denial(ApiError(code, "Reason", message), action) == denied


def test_only_workloads_need_what_is_made_before_them() -> None:
    claim = Create(Ref("PersistentVolumeClaim", "job-run"), {})
    service = Apply(Ref("Service", "job-buffer"), {}, "")
    assert needs_others(APPLY)
    others: list[Action] = [claim, service, Scale(BUFFER, "uid", 0), Finalizer(True)]
    assert not any(needs_others(each) for each in others)
    made: list[Action] = [APPLY, claim, service, Finalizer(True)]
    assert all(is_needed(each) for each in made)
    assert not is_needed(Scale(BUFFER, "uid", 0))
    assert not is_needed(Delete(BUFFER, "uid"))
