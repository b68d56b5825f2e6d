"""The environment of a role's container, mainly the variables that RoleEnvironment reads."""

from typing import Any

from rljob.api import pod_paths
from rljob.api.network import RDMASpec
from rljob.plan.environment import RoleEnvironment, variable
from rljob_operator import names
from rljob_operator.children import job_file, keys, rdma
from rljob_operator.children.wanted import Subject

_COMPUTE = ("trainer", "rollout")
_SECRETS = {
    "buffer_password": keys.BUFFER_PASSWORD,
    "engine_api_key": keys.ENGINE_API_KEY,
    "engine_admin_key": keys.ENGINE_ADMIN_KEY,
}


def environment(
    subject: Subject, role: str, index_field: str | None, adapters: RDMASpec | None
) -> list[dict[str, Any]]:
    """The container's variables.

    Args:
        subject: the job.
        role: trainer, rollout, buffer or router.
        index_field: field of the pod with its number within the role; None: pods have no number.
        adapters: RDMA adapters of the pod.
    """
    plain = {
        "HOME": "/tmp",  # noqa: S108 - the root file system is read-only
        **_role_variables(subject, role),
        **(rdma.environment(adapters) if adapters is not None else {}),
    }
    if subject.job.spec.code.config_map_ref is not None:
        plain["PYTHONPATH"] = pod_paths.CODE
    fields = {variable("host"): "status.podIP", variable("name"): "metadata.name"}
    if index_field is not None:
        del plain[variable("replica")]
        fields[variable("replica")] = index_field
    found: list[dict[str, Any]] = [_from_field(name, path) for name, path in fields.items()]
    found += [{"name": name, "value": value} for name, value in plain.items()]
    found += [
        _from_secret(variable(name), keys.secret_name(subject), key)
        for name, key in _SECRETS.items()
        if not (name == "buffer_password" and subject.job.spec.buffer.external)
    ]
    if role in _COMPUTE and subject.job.spec.device == "cpu":
        found.append(_threads(role))
    external = subject.job.spec.buffer.external
    if external is not None and external.url_secret_ref is not None:
        where = external.url_secret_ref
        found.append(_from_secret(variable("buffer_url"), where.name, where.key))
    return found


def _threads(role: str) -> dict[str, Any]:
    """As many threads as the container requests CPUs.

    torch would start one per core of the node. Where they do not all run at the same time they wait
    for each other most of the time.
    """
    cores = {"containerName": role, "resource": "requests.cpu", "divisor": "1"}
    return {"name": "OMP_NUM_THREADS", "valueFrom": {"resourceFieldRef": cores}}


def _role_variables(subject: Subject, role: str) -> dict[str, str]:
    name = subject.name
    external = subject.job.spec.buffer.external
    url = external.url if external is not None else f"redis://{name}-buffer:{names.BUFFER_PORT}/0"
    complete = RoleEnvironment(
        role=role,
        replica=0,
        name=None,
        job_file=f"{pod_paths.JOB}/{job_file.KEY}",
        run_dir=pod_paths.RUN,
        buffer_url=url or "",
        engine_api_key="",
        metrics_port=names.METRICS_PORT,
        router_port=names.ROUTER_PORT,
        host="",
        rendezvous=f"{name}-trainer-0.{name}-trainer:{names.RENDEZVOUS_PORT}",
        termination_file="/dev/termination-log",
        linger=True,
        job_uid=subject.uid if role == "trainer" else None,
        router_policy=subject.job.spec.rollout.router.policy if role == "router" else None,
        claim_chosen=(role == "trainer" and subject.job.spec.storage.run.claim_name is not None),
    ).to_env()
    return {key: value for key, value in complete.items() if value}


def _from_field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _from_secret(name: str, secret: str, key: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
