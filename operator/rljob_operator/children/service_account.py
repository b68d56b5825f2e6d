"""The identity of a job's pods: one without rights."""

from rljob_operator.children.wanted import Subject, Wanted, child


def service_account(subject: Subject) -> Wanted:
    """A ServiceAccount whose token no pod gets."""
    body = {"automountServiceAccountToken": False}
    return child(subject, "ServiceAccount", "v1", subject.name, body)
