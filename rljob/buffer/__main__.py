"""Entry point of the buffer role."""

from rljob.buffer.role import main
from rljob.telemetry.role import run_role

run_role("buffer", main)
