"""RDMA settings of a pod: adapters, NCCL variables, networks, and the right to pin memory."""

from typing import Any

from rljob.api.network import RDMASpec

CAPABILITY = "IPC_LOCK"  # registered memory is pinned; beyond the restricted Pod Security Standard
NETWORKS_ANNOTATION = "k8s.v1.cni.cncf.io/networks"  # of Multus


def environment(rdma: RDMASpec) -> dict[str, str]:
    """NCCL's variables."""
    given = {"NCCL_IB_HCA": rdma.nccl.ib_hca, "NCCL_IB_GID_INDEX": rdma.nccl.gid_index}
    return {name: str(value) for name, value in given.items() if value is not None} | dict(
        rdma.nccl.environment
    )


def resources(rdma: RDMASpec) -> dict[str, str]:
    """The adapters that a pod requests."""
    return {rdma.resource: str(rdma.count)}


def annotations(rdma: RDMASpec) -> dict[str, str]:
    """The networks that a pod joins."""
    return {NETWORKS_ANNOTATION: ",".join(rdma.networks)} if rdma.networks else {}


def security_context(rdma: RDMASpec | None) -> dict[str, Any]:
    """Capabilities of a container."""
    capabilities: dict[str, Any] = {"drop": ["ALL"]}
    if rdma is not None:
        capabilities["add"] = [CAPABILITY]
    return capabilities
