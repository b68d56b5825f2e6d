"""What error replies mean, as recorded from Redis 6.2.14 and Valkey 9.1.2."""

import pytest
from redis import exceptions

from rljob.buffer.connection import is_full, is_passing

IN_A_SCRIPT = (
    "Error running script (call to f_a7f30a777e3a14deb342c34c70e37dd1e66eb928): "
    "@user_script:1: @user_script: 1: -{}"
)
IN_A_PIPELINE = "Command # 1 (EVALSHA a89a6c 9 {{team/job}}:state...) of pipeline caused error: {}"
OOM = "OOM command not allowed when used memory > 'maxmemory'."
READ_ONLY = "READONLY You can't write against a read only replica."
NO_REPLICAS = "NOREPLICAS Not enough good replicas to write."
LATER = (OOM, READ_ONLY, NO_REPLICAS, "MISCONF Redis is configured to save RDB snapshots")
NEVER = (
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "ERR Number of keys can't be greater than number of args",
    "Error compiling script (new function): user_script:1: unexpected symbol near '#'",
    "@user_script:1: NOGROUP No such key 's'",
)


@pytest.mark.parametrize("form", ["{}", IN_A_SCRIPT, IN_A_PIPELINE], ids=["", "script", "pipeline"])
@pytest.mark.parametrize("text", LATER)
def test_what_is_asked_again(text, form):
    error = exceptions.ResponseError(form.format(text))
    assert is_passing(error)
    assert is_full(error) == (text == OOM)


def test_in_a_script_and_a_pipeline():
    error = exceptions.ResponseError(IN_A_PIPELINE.format(f'("{IN_A_SCRIPT.format(OOM)}",)'))
    assert is_passing(error)
    assert is_full(error)


@pytest.mark.parametrize("form", ["{}", IN_A_SCRIPT, IN_A_PIPELINE], ids=["", "script", "pipeline"])
@pytest.mark.parametrize("text", NEVER)
def test_what_is_not_asked_again(text, form):
    assert not is_passing(exceptions.ResponseError(form.format(text)))


def test_what_redis_py_has_a_class_for():
    assert is_full(exceptions.OutOfMemoryError("command not allowed"))
    assert not is_full(exceptions.ReadOnlyError("You can't write against a read only replica."))
    assert is_passing(exceptions.ReadOnlyError("You can't write against a read only replica."))
