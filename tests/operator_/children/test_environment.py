"""The containers' environment matches what the roles read."""

import json
from typing import Any

import pytest

from rljob.api import RLJob
from rljob.plan.environment import RoleEnvironment
from rljob_operator.children.job_file import KEY
from tests.operator_.children.subject import UID, a_job, container, manifest, minimal, variables

ROLES = ("trainer", "rollout", "buffer", "router")
# What the kubelet would put in.
FIELDS = {
    "status.podIP": "10.0.0.7",
    "metadata.name": "math-trainer-1",
    "metadata.labels['apps.kubernetes.io/pod-index']": "1",
}
SECRETS = {
    "buffer-password": "password",
    "engine-api-key": "api",
    "engine-admin-key": "admin",
    "url": "rediss://redis:6380/2",
}


def read(job: RLJob, role: str) -> RoleEnvironment:
    """The environment as the role reads it in a pod."""
    return RoleEnvironment.from_env(
        {name: resolved(value) for name, value in variables(job, role).items()}
    )


def resolved(value: Any) -> str:
    if isinstance(value, str):
        return value
    (source,) = value
    if source == "fieldRef":
        return FIELDS[value[source]["fieldPath"]]
    return SECRETS[value[source]["key"]]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_can_read_it(role: str) -> None:
    assert read(minimal(), role) == RoleEnvironment(
        role=role,
        replica=1 if role == "trainer" else 0,
        name="math-trainer-1",
        job_file="/etc/rljob/job.json",
        run_dir="/rljob/run",
        buffer_url="redis://math-buffer:6379/0",
        buffer_password="password",
        engine_api_key="api",
        engine_admin_key="admin",
        metrics_port=9400,
        router_port=30000,
        host="10.0.0.7",
        rendezvous="math-trainer-0.math-trainer:29400",
        termination_file="/dev/termination-log",
        supervisor=None,
        linger=True,
        job_uid=UID if role == "trainer" else None,
        router_policy="cache_aware" if role == "router" else None,
    )


def test_on_cpus_there_are_as_many_threads_as_cpus_are_requested() -> None:
    for role in ("trainer", "rollout"):
        source = variables(minimal(device="cpu"), role)["OMP_NUM_THREADS"]
        assert source == {
            "resourceFieldRef": {
                "containerName": container(minimal(), role)["name"],
                "resource": "requests.cpu",
                "divisor": "1",
            }
        }
        assert "OMP_NUM_THREADS" not in variables(minimal(), role)
    for role in ("router", "buffer"):
        assert "OMP_NUM_THREADS" not in variables(minimal(device="cpu"), role)


@pytest.mark.parametrize("role", ROLES)
def test_directories_are_mounted_where_the_role_looks(role: str) -> None:
    environment = read(minimal(), role)
    mounts = {each["mountPath"]: each for each in container(minimal(), role)["volumeMounts"]}
    assert mounts[environment.job_file.rpartition("/")[0]]["readOnly"]
    assert not mounts[environment.run_dir].get("readOnly")
    assert "/tmp" in mounts  # of a file system that is read-only otherwise
    assert ("/dev/shm" in mounts) == (role in ("trainer", "rollout"))


def test_the_job_file_is_what_a_role_can_read() -> None:
    job = a_job()
    text = manifest(job, "ConfigMap", "math-job")["data"][KEY]
    read_back = RLJob.model_validate_json(text)
    assert read_back.key == job.key == "team/math"
    assert read_back.spec.schedule == job.spec.schedule
    assert str(read_back.spec.storage.run.directory) == read(job, "trainer").run_dir
    assert str(read_back.spec.code.directory) == variables(job, "trainer")["PYTHONPATH"]
    assert "template" not in json.loads(text)["spec"]["trainer"]


def test_an_external_buffer_by_its_url() -> None:
    job = minimal(buffer={"external": {"url": "redis://redis:6379/1"}})
    for role in ("trainer", "rollout", "router"):
        environment = read(job, role)
        assert environment.buffer_url == "redis://redis:6379/1"
        assert environment.buffer_password is None


def test_an_external_buffer_by_a_secret() -> None:
    job = minimal(buffer={"external": {"urlSecretRef": {"name": "redis", "key": "url"}}})
    for role in ("trainer", "rollout", "router"):
        assert read(job, role).buffer_url == "rediss://redis:6380/2"
        source = variables(job, role)["RLJOB_BUFFER_URL"]
        assert source == {"secretKeyRef": {"name": "redis", "key": "url"}}


def test_keys_are_never_written_out() -> None:
    for role in ROLES:
        for name, value in variables(a_job(), role).items():
            if "KEY" in name or "PASSWORD" in name:
                assert value.keys() == {"secretKeyRef"}


def test_code_is_on_the_path_of_every_role() -> None:
    for role in ROLES:
        path = variables(a_job(), role)["PYTHONPATH"]
        mounts = {
            each["mountPath"]: each["name"] for each in container(a_job(), role)["volumeMounts"]
        }
        assert mounts[path] == "code"
        assert "PYTHONPATH" not in variables(minimal(), role)
