"""Where a role's pod has what is its own; further volumes are mounted elsewhere."""

JOB = "/etc/rljob"
RUN = "/rljob/run"
WEIGHTS = f"{RUN}/weights"
CODE = "/rljob/code"
TEMPORARY = "/tmp"  # noqa: S108 - the container's own
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - likewise
POD_PATHS = (JOB, RUN, WEIGHTS, CODE, TEMPORARY, SHARED_MEMORY)
