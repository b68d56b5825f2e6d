"""The buffer, volumes and the run policy."""

import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

from rljob.api.base import NCCL_VARIABLE
from rljob.api.nearest import nearest
from rljob.api.pod_paths import POD_PATHS
from rljob.api.problem import Problem, problem
from rljob.api.rljob import ObjectMeta, RLJob
from rljob.api.rules.cel import Cel, twin
from rljob.api.rules.repeated import repeated
from rljob.errors import EXIT_USAGE

# Fields that the API server adds to those of ObjectMeta.
METADATA = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)
# In CEL: whether two volumes are mounted at the same place.
SAME_MOUNT = (
    "a.mountPath == b.mountPath || a.mountPath + '/' == b.mountPath "
    "|| a.mountPath == b.mountPath + '/'"
)
_TAKEN_MOUNTS = [path + end for path in POD_PATHS for end in ("", "/")]
# As user:password@, or in the query.
PASSWORD_IN_URL = "^rediss?://[^/?#]*:[^/?#]*@|[?&](ssl_)?password="  # noqa: S105 - a pattern


@twin(
    Cel(
        at="spec.buffer",
        rule="!has(self.persistence) || !has(self.external)",
        message="found a mapping, allowed null (spec.buffer.external is given; persistence is only "
        "for the embedded server)",
        field="persistence",
        reason="FieldValueForbidden",
    ),
    Cel(
        at="spec.buffer",
        rule="!has(self.memory) || !has(self.external)",
        message='found "{self.memory}", allowed null (spec.buffer.external is given; memory is '
        "only for the embedded server)",
        field="memory",
        reason="FieldValueForbidden",
    ),
)
def one_buffer(job: RLJob) -> Iterator[Problem]:
    """`buffer.persistence` and `memory` are only for the embedded server."""
    if job.spec.buffer.memory is not None and job.spec.buffer.external:
        yield problem(
            "spec.buffer.memory",
            job.spec.buffer.memory,
            "null",
            "spec.buffer.external is given; memory is only for the embedded server",
        )
    if job.spec.buffer.persistence and job.spec.buffer.external:
        yield problem(
            "spec.buffer.persistence",
            {"size": job.spec.buffer.persistence.size},
            "null",
            "spec.buffer.external is given; persistence is only for the embedded server",
        )


@twin(
    Cel(
        at="spec.buffer.external",
        rule="has(self.url) != has(self.urlSecretRef)",
        message="found {has(self.url) ? 'both url and' : 'neither url nor'} urlSecretRef, allowed "
        "exactly one of them",
    )
)
def one_address(job: RLJob) -> Iterator[Problem]:
    """`buffer.external` has exactly one of `url` and `urlSecretRef`."""
    external = job.spec.buffer.external
    if external is None:
        return
    given = [name for name in ("url", "url_secret_ref") if getattr(external, name) is not None]
    if len(given) != 1:
        yield Problem(
            ("spec", "buffer", "external"),
            "both url and urlSecretRef" if given else "neither url nor urlSecretRef",
            "exactly one of them",
        )


@twin(
    Cel(
        at="spec.buffer.external",
        rule="!has(self.url) || (isURL(self.url) && url(self.url).getHostname() != '' && "
        "(url(self.url).getPort() == '' || int(url(self.url).getPort()) <= 65535))",
        message="found a malformed URL, allowed redis://host:port/database",
        field="url",
    )
)
def address_has_a_host(job: RLJob) -> Iterator[Problem]:
    """`buffer.external.url` names a host, and a port from 0 to 65535 if any."""
    external = job.spec.buffer.external
    if external is None or external.url is None:
        return
    try:
        parts = urlsplit(external.url)
        sound = bool(parts.hostname) and (parts.port or 0) >= 0
    except ValueError:
        sound = False
    if not sound:
        yield Problem(
            ("spec", "buffer", "external", "url"), "a malformed URL", "redis://host:port/database"
        )


@twin(
    Cel(
        at="spec.buffer.external",
        rule=f"!has(self.url) || !self.url.matches('{PASSWORD_IN_URL}')",
        message="found a URL with a password, allowed one without (urlSecretRef on Kubernetes, "
        "RLJOB_BUFFER_PASSWORD for `rljob run`)",
        field="url",
        reason="FieldValueForbidden",
    )
)
def no_password_in_a_manifest(job: RLJob) -> Iterator[Problem]:
    """`buffer.external.url` holds no password: a manifest is read by many."""
    external = job.spec.buffer.external
    if external is not None and re.search(PASSWORD_IN_URL, external.url or ""):
        yield Problem(
            ("spec", "buffer", "external", "url"),
            "a URL with a password",
            "one without",
            "urlSecretRef on Kubernetes, RLJOB_BUFFER_PASSWORD for `rljob run`",
        )


@twin(
    Cel(
        at="spec.storage.volumes",
        rule=f"self.all(a, self.exists_one(b, {SAME_MOUNT}))",
        message=f'found "{{self.filter(a, !self.exists_one(b, {SAME_MOUNT}))[1].mountPath}}", '
        "allowed each once",
    )
)
def volumes_differ(job: RLJob) -> Iterator[Problem]:
    """Names and mount paths of `storage.volumes` are unique."""
    volumes = job.spec.storage.volumes
    place = ("spec", "storage", "volumes")
    yield from repeated(place, [volume.name for volume in volumes], "name")
    mounts = [volume.mount_path.rstrip("/") for volume in volumes]
    for found in repeated(place, mounts, "mountPath"):
        yield replace(found, message="")  # CEL can't afford to find the index of the other


@twin(
    Cel(
        at="spec.storage.volumes[]",
        rule=f"!(self.mountPath in {_TAKEN_MOUNTS})",
        message='found "{self.mountPath}", allowed another path (the pod itself uses '
        f"{', '.join(POD_PATHS)})",
        field="mountPath",
        reason="FieldValueForbidden",
    )
)
def volumes_are_mounted_elsewhere(job: RLJob) -> Iterator[Problem]:
    """`storage.volumes` are not mounted at paths that the pod itself uses."""
    for index, volume in enumerate(job.spec.storage.volumes):
        if volume.mount_path in _TAKEN_MOUNTS:
            yield problem(
                ("spec", "storage", "volumes", index, "mountPath"),
                volume.mount_path,
                "another path",
                f"the pod itself uses {', '.join(POD_PATHS)}",
            )


def pull_secrets_differ(job: RLJob) -> Iterator[Problem]:
    """`imagePullSecrets` names each Secret once."""
    yield from repeated(("spec", "imagePullSecrets"), job.spec.image_pull_secrets)


@twin(
    Cel(
        at="spec.runPolicy.failure[]",
        rule=f"self.action == 'FailJob' || !({EXIT_USAGE} in self.exitCodes)",
        message=f"found {EXIT_USAGE}, allowed any other ({EXIT_USAGE} is a mistake in the job, "
        "which {self.action} can't cure)",
        field="exitCodes",
        reason="FieldValueForbidden",
    )
)
def failure_rules_make_sense(job: RLJob) -> Iterator[Problem]:
    """Exit code 64 in `runPolicy.failure` is allowed only with FailJob."""
    for index, rule in enumerate(job.spec.run_policy.failure):
        for position, code in enumerate(rule.exit_codes):
            if code == EXIT_USAGE and rule.action != "FailJob":
                yield problem(
                    ("spec", "runPolicy", "failure", index, "exitCodes", position),
                    code,
                    "any other",
                    f"{EXIT_USAGE} is a mistake in the job, which {rule.action} can't cure",
                )


@twin(
    Cel(
        at="spec.model",
        rule="!has(self.preset) || !has(self.architecture)",
        message="found a mapping, allowed null (preset is {self.preset}; at most one of the two)",
        field="architecture",
        reason="FieldValueForbidden",
    )
)
def one_model(job: RLJob) -> Iterator[Problem]:
    """`model.preset` and `model.architecture` exclude each other."""
    if job.spec.model.preset is not None and job.spec.model.architecture is not None:
        yield problem(
            "spec.model.architecture",
            job.spec.model.architecture,
            "null",
            f"preset is {job.spec.model.preset}; at most one of the two",
        )


def metadata_is_known(job: RLJob) -> Iterator[Problem]:
    """`metadata` has only fields that Kubernetes knows."""
    known = [*METADATA, *(field.alias or name for name, field in ObjectMeta.model_fields.items())]
    for name in job.metadata.model_extra or {}:
        if name not in METADATA:
            allowed = nearest(name, known) or "name, namespace, labels, annotations"
            yield Problem(("metadata", name), "an unknown field", allowed)


@twin(
    Cel(
        at="spec.network.rdma.nccl",
        rule=f"self.environment.all(name, name.matches('{NCCL_VARIABLE}'))",
        message="found another variable, allowed NCCL_ followed by capital letters, digits and '_'",
        field="environment",
    )
)
def variables_are_nccls(job: RLJob) -> Iterator[Problem]:
    """`network.rdma.nccl.environment` has only NCCL variables, whose names begin with NCCL_."""
    rdma = job.spec.network.rdma
    for name in rdma.nccl.environment if rdma else ():
        if not re.fullmatch(NCCL_VARIABLE, name):
            path = ("spec", "network", "rdma", "nccl", "environment", name)
            allowed = "NCCL_ followed by capital letters, digits and '_'"
            yield Problem(path, "another variable", allowed)


RULES = (
    metadata_is_known,
    variables_are_nccls,
    one_buffer,
    one_address,
    address_has_a_host,
    no_password_in_a_manifest,
    volumes_differ,
    volumes_are_mounted_elsewhere,
    pull_secrets_differ,
    failure_rules_make_sense,
    one_model,
)
