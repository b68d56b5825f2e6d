"""Specs of jobs whose paths need not exist."""

from pathlib import Path
from typing import Any

from rljob.api import RLJob, RLJobSpec
from tests.support.job import manifest


def spec_of(checkpoint: Path = Path("/model"), **changes: Any) -> RLJobSpec:
    """A small job's spec; a change is named by its path, dots as `__`."""
    document = manifest(checkpoint, **{"model__checkpoint": str(checkpoint), **changes})
    return RLJob.model_validate(document).spec
