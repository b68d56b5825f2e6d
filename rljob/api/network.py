"""RDMA and NCCL."""

from typing import Annotated

from pydantic import Field

from rljob.api.base import NETWORK, RESOURCE, NonNegativeInt, Part, PositiveInt, Text

Value = Annotated[str, Field(max_length=1024)]
Network = Annotated[str, Field(pattern=NETWORK, max_length=317)]


class NCCLSpec(Part):
    """Environment of NCCL."""

    ib_hca: Text | None = Field(None, description="NCCL_IB_HCA: the adapters to use.")
    gid_index: NonNegativeInt | None = Field(None, description="NCCL_IB_GID_INDEX.")
    environment: dict[str, Value] = Field(
        default_factory=dict, max_length=64, description="Other NCCL_* variables."
    )


class RDMASpec(Part):
    """The RDMA adapters of a pod."""

    resource: str = Field(
        pattern=RESOURCE, max_length=253, description="Extended resource, e.g. rdma/hca."
    )
    count: PositiveInt = Field(1, description="Adapters per pod.")
    networks: list[Network] = Field(
        default_factory=list, max_length=32, description="Multus networks of the pods."
    )
    nccl: NCCLSpec = Field(default_factory=NCCLSpec, description="NCCL's settings.")


class NetworkSpec(Part):
    """The network between the roles."""

    rdma: RDMASpec | None = Field(None, description="RDMA. Default: TCP.")
