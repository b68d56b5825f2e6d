"""The supervisor's decisions about processes that end unexpectedly."""

import subprocess
import sys

import pytest

from rljob.cli.interruption import Interruption
from rljob.cli.local_app import Replica
from rljob.cli.supervisor import Ending, Supervisor


@pytest.fixture
def replica():
    """Starts a process as a role's replica: it ends with a code, or waits."""
    started: list[subprocess.Popen[bytes]] = []

    def start(role: str, code: int | None, number: int = 0) -> Replica:
        wait = "input()" if code is None else f"raise SystemExit({code})"
        process = subprocess.Popen([sys.executable, "-c", wait], stdin=subprocess.PIPE)
        started.append(process)
        if code is not None:
            process.wait()
        return Replica(role, number, process)

    yield start
    for process in started:
        process.kill()
        process.communicate()


class Never:
    """Starts nothing again."""

    def delay(self, _replica: Replica, _code: int) -> float | None:
        return None

    def restart(self, replica: Replica) -> Replica:
        raise AssertionError(f"{replica} is started again")


def watch(*replicas: Replica, look=lambda: None, interruption=None, recovery=None) -> Ending:
    return Supervisor(
        replicas,
        interruption or Interruption(),
        look,
        recovery or Never(),
        finish_seconds=0,
        early_seconds=0,
    ).watch()


def test_a_role_that_ends_before_the_trainer_fails_the_run(replica):
    trainer, rollout = replica("trainer", None), replica("rollout", 0, 1)
    ending = watch(trainer, rollout)
    assert ending == Ending("failed", rollout, 0)


def test_roles_that_stay_after_the_trainer_do_not_hold_up_the_end(replica):
    assert watch(replica("trainer", 0), replica("rollout", None)).kind == "ended"


def test_all_trainers_must_have_ended(replica):
    first, second = replica("trainer", 0, 0), replica("trainer", None, 1)
    looks = []

    def look():
        looks.append(0)
        if len(looks) == 3:
            second.process.communicate(b"\n")

    assert watch(first, second, replica("rollout", None), look=look).kind == "ended"
    assert len(looks) >= 3


def test_the_users_mistake_is_the_cause_of_the_others(replica):
    broken, mistaken = replica("trainer", 1), replica("rollout", 64)
    assert watch(broken, mistaken) == Ending("failed", mistaken, 64)


def test_an_interruption_comes_first(replica):
    interruption = Interruption()
    interruption.requested = True
    assert watch(replica("trainer", 1), interruption=interruption).kind == "interrupted"


class Again(Never):
    """Starts a failed replica again, once, after a moment."""

    def __init__(self, start) -> None:
        self.asked: list[tuple[Replica, int]] = []
        self._start = start

    def delay(self, replica: Replica, code: int) -> float | None:
        self.asked.append((replica, code))
        return 0.05 if len(self.asked) == 1 else None

    def restart(self, replica: Replica) -> Replica:
        return self._start(replica.role, 3, replica.number)


def test_a_failed_replica_is_started_again_and_asked_about_once(replica):
    recovery = Again(replica)
    first = replica("rollout", 2)
    ending = watch(replica("trainer", None), first, recovery=recovery)
    second = ending.replica
    assert ending == Ending("failed", second, 3)
    assert second is not first
    assert recovery.asked == [(first, 2), (second, 3)]


def test_what_fails_after_the_trainer_has_ended_is_not_needed_any_more(replica):
    assert watch(replica("trainer", 0), replica("rollout", 1)).kind == "ended"
