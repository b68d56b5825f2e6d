"""`python -m rljob_trainer`: the trainer role."""

import os
import sys
from pathlib import Path

from rljob.plan.environment import variable
from rljob.telemetry.role import run_role

if __name__ == "__main__":
    if os.environ.get(variable("linger")):  # in a pod
        from rljob_trainer.process.again import run_again

        run_dir, replica = os.environ[variable("run_dir")], os.environ[variable("replica")]
        # Laid out as torchx does it for `rljob run`.
        sys.exit(run_again(Path(run_dir) / "logs" / "pods" / "trainer" / replica / "stdout.log"))

    from rljob_trainer.process.launcher import launch

    run_role("trainer", launch)
