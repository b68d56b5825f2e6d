"""`python -m rljob_trainer`: the trainer role."""

import os
import sys

from rljob.plan.environment import variable
from rljob.telemetry.role import run_role

if __name__ == "__main__":
    if os.environ.get(variable("linger")):  # in a pod
        from rljob_trainer.again import Again

        sys.exit(Again().run())

    from rljob_trainer.launcher import launch

    run_role("trainer", launch)
