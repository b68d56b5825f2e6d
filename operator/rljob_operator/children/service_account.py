"""The ServiceAccount of a job's pods, which has no rights."""

from rljob_operator.children.wanted import Subject, Wanted, child


def service_account(subject: Subject) -> Wanted:
    """A ServiceAccount whose token is not mounted."""
    body = {"automountServiceAccountToken": False}
    return child(subject, "ServiceAccount", "v1", subject.name, body)
