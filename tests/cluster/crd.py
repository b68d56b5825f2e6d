"""Custom resource definitions in a control plane: of RLJob, and of other projects."""

import time
from collections.abc import Callable
from pathlib import Path

from tests.cluster.client import Client

FILE = Path(__file__).parents[2] / "crds" / "rljob.dev_rljobs.yaml"
NAME = "rljobs.rljob.dev"
RESOURCE = "rljob.dev/v1alpha1/rljobs"
OTHERS = sorted((Path(__file__).parent / "crds").glob("*.yaml"))
_CRDS = "apiextensions.k8s.io/v1/customresourcedefinitions"
_SECONDS = 30


def install(client: Client, *files: Path) -> None:
    """Applies CRDs and waits until objects of their kinds can be made.

    Args:
        client: of one who may do everything, in any namespace.
        files: the definitions; none: the checked-in one of RLJob.

    Raises:
        TimeoutError: the API server does not take one in.
    """
    everywhere = client.within("")
    for file in files or (FILE,):
        (made,) = everywhere.apply_yaml(file.read_text())
        wait_until_established(everywhere, made["metadata"]["name"])


def wait_until_established(client: Client, name: str = NAME) -> None:
    """Returns when objects of a CRD's kind can be made; TimeoutError if that takes too long."""
    everywhere = client.within("")
    _wait(lambda: _is_established(everywhere, name), f"{name} is not established")


def remove(client: Client, *files: Path) -> None:
    """Takes CRDs away, with all objects of their kinds."""
    everywhere = client.within("")
    for file in files:
        name = _name(file)
        everywhere.discard(_CRDS, name)
        _wait(lambda name=name: everywhere.find(_CRDS, name) is None, f"{name} is still there")


def _name(file: Path) -> str:
    """As controller-gen names the files: group_plural.yaml."""
    group, _, plural = file.stem.partition("_")
    return f"{plural}.{group}"


def _wait(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + _SECONDS
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(what)
        time.sleep(0.05)


def _is_established(client: Client, name: str) -> bool:
    crd = client.get(_CRDS, name)
    conditions = {c["type"]: c["status"] for c in crd.get("status", {}).get("conditions") or []}
    return conditions.get("Established") == "True"
