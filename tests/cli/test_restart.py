"""Which failures lead to a restart."""

import pytest

from rljob.api.run_policy import RunPolicySpec
from rljob.cli.restart import Restarts


def restarts(**policy: object) -> Restarts:
    return Restarts(RunPolicySpec.model_validate(policy))


def delays(
    policy: Restarts, count: int, *, role: str = "rollout", code: int = 1
) -> list[float | None]:
    return [policy.delay(role, code, trained=0, has_worked=True) for _ in range(count)]


def test_the_delay_doubles_up_to_a_minute_and_the_limit_ends_it() -> None:
    assert delays(restarts(backoffLimit=8), 9) == [1, 2, 4, 8, 16, 32, 60, 60, None]


def test_training_that_goes_on_clears_the_count() -> None:
    policy = restarts(backoffLimit=1)
    for trained in range(1, 5):
        assert policy.delay("buffer", 1, trained=trained, has_worked=True) == 1
    assert policy.delay("buffer", 1, trained=4, has_worked=True) is None


@pytest.mark.parametrize("role", ["rollout", "buffer", "router"])
def test_a_usage_error_is_not_repeated(role: str) -> None:
    assert delays(restarts(), 1, role=role, code=64) == [None]


def test_a_failure_before_anything_worked_is_not_repeated_but_a_killed_role_is() -> None:
    policy = restarts()
    assert policy.delay("rollout", 1, trained=0, has_worked=False) is None
    assert policy.delay("rollout", -9, trained=0, has_worked=False) == 1


def test_a_trainer_is_started_again_only_by_a_rule() -> None:
    assert delays(restarts(), 1, role="trainer") == [None]
    rule = {"role": "trainer", "exitCodes": [137], "action": "Restart"}
    # 137 is what a shell, and Kubernetes, says of SIGKILL: 128 + 9.
    assert delays(restarts(failure=[rule]), 1, role="trainer", code=-9) == [1]
    assert delays(restarts(failure=[rule]), 1, role="trainer", code=1) == [None]


def test_rules_fail_the_run_or_leave_a_failure_uncounted() -> None:
    rules = [
        {"role": "rollout", "exitCodes": [3], "action": "FailJob"},
        {"exitCodes": [4], "action": "Ignore"},
    ]
    policy = restarts(failure=rules, backoffLimit=0)
    assert delays(policy, 1, code=3) == [None]
    assert delays(policy, 3, code=4) == [1, 1, 1]
    assert delays(policy, 1, code=5) == [None]
