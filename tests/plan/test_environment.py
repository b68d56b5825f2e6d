"""A role's environment: written, read back, and refused if it is invalid."""

import dataclasses

import pytest

from rljob.errors import UsageError
from rljob.plan.environment import RoleEnvironment
from tests.support.run_dir import job

WHOLE = RoleEnvironment(
    role="rollout",
    replica=2,
    job_file="/run/job.json",
    run_dir="/run",
    buffer_url="redis://127.0.0.1:1/0",
    engine_api_key="api",
    metrics_port=0,
    router_port=8,
    host="127.0.0.1",
    rendezvous="127.0.0.1:9",
    buffer_password="p w=d",
    engine_admin_key="admin",
    termination_file="/run/reason",
    supervisor=17,
    router_policy="random",
)
OPTIONAL = (
    "buffer_password",
    "engine_admin_key",
    "termination_file",
    "supervisor",
    "router_policy",
)


def test_round_trip():
    assert RoleEnvironment.from_env(WHOLE.to_env()) == WHOLE


def test_round_trip_of_what_is_unset():
    some = dataclasses.replace(WHOLE, **dict.fromkeys(OPTIONAL))
    values = some.to_env()
    assert not {f"RLJOB_{name.upper()}" for name in OPTIONAL} & values.keys()
    assert RoleEnvironment.from_env(values | {"HOME": "/root"}) == some


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("RLJOB_ROLE", "cook", "RLJOB_ROLE: found 'cook', allowed buffer, trainer"),
        ("RLJOB_REPLICA", "-1", "RLJOB_REPLICA: found '-1', allowed a whole number"),
        ("RLJOB_METRICS_PORT", "http", "RLJOB_METRICS_PORT: found 'http'"),
        ("RLJOB_BUFFER_URL", "", "RLJOB_BUFFER_URL: found nothing"),
    ],
)
def test_what_is_wrong_is_named(name, value, message):
    with pytest.raises(UsageError, match=message):
        RoleEnvironment.from_env(WHOLE.to_env() | {name: value})


def test_the_job_is_read_from_its_file(tmp_path):
    path = tmp_path / "job.json"
    environment = dataclasses.replace(WHOLE, job_file=str(path))
    with pytest.raises(UsageError, match=r"RLJOB_JOB_FILE: .*job\.json"):
        environment.job()
    path.write_text(job().model_dump_json(by_alias=True))
    assert environment.job() == job()
