"""Errors that mean the user must change something, as against faults that a retry may cure."""

EXIT_USAGE = 64  # EX_USAGE of sysexits.h: the manifest, the data, a checkpoint or a hook is wrong


class UsageError(Exception):
    """The user's mistake: the message names what is wrong, what was found and what is allowed.

    A process that ends with it exits with `EXIT_USAGE`, and the job fails at once: no restart can
    cure it.
    """
