"""`python -m rljob_trainer`: the trainer role."""

from rljob.telemetry.role import run_role
from rljob_trainer.launcher import launch

if __name__ == "__main__":
    run_role("trainer", launch)
