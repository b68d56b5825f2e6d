"""Paths that a role's pod uses itself; additional volumes must be mounted elsewhere."""

JOB = "/etc/rljob"
RUN = "/rljob/run"
WEIGHTS = f"{RUN}/weights"
CODE = "/rljob/code"
TEMPORARY = "/tmp"  # noqa: S108 - private to the container
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - likewise
POD_PATHS = (JOB, RUN, WEIGHTS, CODE, TEMPORARY, SHARED_MEMORY)
