"""The CRD of RLJob in a control plane."""

import time
from pathlib import Path

from tests.cluster.client import Client

FILE = Path(__file__).parents[2] / "crds" / "rljob.dev_rljobs.yaml"
NAME = "rljobs.rljob.dev"
RESOURCE = "rljob.dev/v1alpha1/rljobs"
_SECONDS = 30


def install(client: Client) -> None:
    """Applies the checked-in CRD and waits until RLJobs can be made.

    Args:
        client: of one who may do everything, in any namespace.

    Raises:
        TimeoutError: the API server does not take it in.
    """
    everywhere = client.within("")
    everywhere.apply_yaml(FILE.read_text())
    until = time.monotonic() + _SECONDS
    while not _is_established(everywhere):
        if time.monotonic() > until:
            raise TimeoutError(f"{NAME} is not established")
        time.sleep(0.05)


def _is_established(client: Client) -> bool:
    crd = client.get("apiextensions.k8s.io/v1/customresourcedefinitions", NAME)
    conditions = {c["type"]: c["status"] for c in crd.get("status", {}).get("conditions") or []}
    return conditions.get("Established") == "True"
