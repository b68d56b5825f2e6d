"""Entry point of the buffer role."""

from rljob.buffer.pod_role import run_pod_role
from rljob.buffer.role import main

run_pod_role("buffer", main)
