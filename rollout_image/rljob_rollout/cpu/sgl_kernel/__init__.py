"""Stands in for SGLang's compiled kernels on a machine without a GPU.

The real package cannot be imported without the CUDA driver. SGLang imports these names at its
start; on the torch-native path of a CPU engine only the first is called. Nothing is registered
with torch, so SGLang finds no CPU kernels and takes that path.
"""

from typing import Any

import torch

__version__ = "0.4.10"


def assign_req_to_token_pool_cpu(
    pool_indices: torch.Tensor,
    req_to_token: torch.Tensor,
    starts: torch.Tensor,
    ends: torch.Tensor,
    locations: torch.Tensor,
    _pool_length: int,
) -> None:
    """Writes each request's new cache locations into its row of the token pool."""
    offset = 0
    spans = zip(pool_indices.tolist(), starts.tolist(), ends.tolist(), strict=True)
    for row, start, end in spans:
        count = end - start
        req_to_token[row, start:end] = locations[offset : offset + count].to(req_to_token.dtype)
        offset += count


def __getattr__(name: str) -> Any:
    if name.endswith("_cpu"):

        def missing(*_args: Any, **_kwargs: Any) -> None:
            raise RuntimeError(f"sgl_kernel.{name} needs SGLang's compiled kernels")

        return missing
    raise AttributeError(name)
