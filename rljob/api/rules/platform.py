"""The buffer, volumes and the run policy."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from rljob.api.problem import Problem, problem
from rljob.api.rljob import RLJob
from rljob.api.rules.rollout import repeated
from rljob.errors import EXIT_USAGE


def one_buffer(job: RLJob) -> Iterator[Problem]:
    """`buffer.persistence` is of the embedded server, so not together with `buffer.external`."""
    if job.spec.buffer.persistence and job.spec.buffer.external:
        yield problem(
            "spec.buffer.persistence",
            {"size": job.spec.buffer.persistence.size},
            "null",
            "spec.buffer.external is given; persistence is of the embedded server",
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


def no_password_in_a_manifest(job: RLJob) -> Iterator[Problem]:
    """`buffer.external.url` holds no password: a manifest is read by many."""
    external = job.spec.buffer.external
    if external is None or external.url is None:
        return
    try:
        parts = urlsplit(external.url)
        password, _ = parts.password, parts.port
    except ValueError:
        yield Problem(
            ("spec", "buffer", "external", "url"), "a malformed URL", "redis://host:port/database"
        )
        return
    if password is not None:
        yield Problem(
            ("spec", "buffer", "external", "url"),
            "a URL with a password",
            "one without",
            "urlSecretRef on Kubernetes, RLJOB_BUFFER_PASSWORD for `rljob run`",
        )


def volumes_differ(job: RLJob) -> Iterator[Problem]:
    """Names and mount paths of `storage.volumes` are unique."""
    volumes = job.spec.storage.volumes
    place = ("spec", "storage", "volumes")
    yield from repeated(place, [volume.name for volume in volumes], "name")
    yield from repeated(place, [volume.mount_path.rstrip("/") for volume in volumes], "mountPath")


def failure_rules_make_sense(job: RLJob) -> Iterator[Problem]:
    """`runPolicy.failure` has exit codes from 1 to 255; 64 only with FailJob."""
    for index, rule in enumerate(job.spec.run_policy.failure):
        for position, code in enumerate(rule.exit_codes):
            path = ("spec", "runPolicy", "failure", index, "exitCodes", position)
            if not 1 <= code <= 255:
                yield problem(path, code, "from 1 to 255")
            elif code == EXIT_USAGE and rule.action != "FailJob":
                yield problem(
                    path,
                    code,
                    "any other",
                    f"{EXIT_USAGE} is a mistake in the job, which {rule.action} can't cure",
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


RULES = (
    one_buffer,
    one_address,
    no_password_in_a_manifest,
    volumes_differ,
    failure_rules_make_sense,
    one_model,
)
