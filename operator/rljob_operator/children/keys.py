"""The job's passwords and keys, in a Secret."""

import hashlib
import hmac

from rljob_operator.children.wanted import Subject, Wanted, child

BUFFER_PASSWORD = "buffer-password"  # noqa: S105 - the name of a key
ENGINE_API_KEY = "engine-api-key"
ENGINE_ADMIN_KEY = "engine-admin-key"


def secret(subject: Subject) -> Wanted:
    """The Secret; its values are derived from the operator's key, so it never needs to be read.

    It is only ever created: a patch returns what is in the Secret, so the right to patch one is the
    right to read it.
    """
    values = {
        name: derive(subject.cluster.key, subject.uid, name)
        for name in (BUFFER_PASSWORD, ENGINE_API_KEY, ENGINE_ADMIN_KEY)
    }
    body = {"type": "Opaque", "immutable": True, "stringData": values}
    return child(subject, "Secret", "v1", secret_name(subject), body, once=True)


def secret_name(subject: Subject) -> str:
    """Name of a job's Secret.

    The operator can't read Secrets, so it would not notice a name conflict with one of the user's:
    therefore the name contains a part of the job's uid.
    """
    return f"{subject.name}-keys-{subject.uid[:8]}"


def derive(key: bytes, uid: str, name: str) -> str:
    """A secret of 256 bits in hexadecimal: HMAC-SHA256 of the job's uid and the secret's name."""
    return hmac.new(key, f"{uid}/{name}".encode(), hashlib.sha256).hexdigest()
