"""Errors that the user must fix, as opposed to faults that a retry may cure."""

EXIT_USAGE = 64  # EX_USAGE of sysexits.h: the manifest, the data, a checkpoint or a hook is wrong


class UsageError(Exception):
    """A mistake of the user; the message says what was found and what is allowed.

    The process exits with `EXIT_USAGE` and the job fails at once: a restart would not help.
    """
