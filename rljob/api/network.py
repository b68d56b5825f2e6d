"""RDMA and NCCL."""

from pydantic import Field

from rljob.api.base import NonNegativeInt, Part, PositiveInt


class NCCLSpec(Part):
    """Environment of NCCL."""

    ib_hca: str | None = Field(None, description="NCCL_IB_HCA: the adapters to use.")
    gid_index: NonNegativeInt | None = Field(None, description="NCCL_IB_GID_INDEX.")
    environment: dict[str, str] = Field(default_factory=dict, description="Other NCCL_* variables.")


class RDMASpec(Part):
    """The RDMA adapters of a pod."""

    resource: str = Field(min_length=1, description="Extended resource, e.g. rdma/hca.")
    count: PositiveInt = Field(1, description="Adapters per pod.")
    networks: list[str] = Field(default_factory=list, description="Multus networks of the pods.")
    nccl: NCCLSpec = Field(default_factory=NCCLSpec, description="NCCL's settings.")


class NetworkSpec(Part):
    """The network between the roles."""

    rdma: RDMASpec | None = Field(None, description="RDMA. Default: TCP.")
