"""Makes megatron-core 0.16 run without CUDA. Where CUDA is available, nothing is changed.

megatron-core names the CUDA device, its random states and CUDA tensors explicitly. On a CPU these
names are redirected to the CPU; process groups use gloo.
"""

import os
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

_CPU = torch.device("cpu")


def apply() -> None:
    """Makes megatron-core importable and usable on a CPU. Call it before importing megatron."""
    if torch.cuda.is_available():
        return
    # A wheel that another role installs raises OSError (no libcuda) where megatron-core expects an
    # ImportError. A None in sys.modules makes the import raise ImportError.
    sys.modules.setdefault("flash_mla", None)  # type: ignore[arg-type]  # documented for None
    # jit_fuser is torch.compile: it would compile every small function at the first call.
    os.environ["TORCHDYNAMO_DISABLE"] = "1"
    _replace_device()
    _replace_streams()
    _replace_random_states()


def _replace(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


def _replace_device() -> None:
    _replace(torch.cuda, "current_device", lambda: _CPU)
    _replace(torch.Tensor, "cuda", lambda tensor, *_args, **_kwargs: tensor)
    # Only these modules see the replaced factories: torch's own device contexts recognize
    # factories by identity.
    from megatron.core import utils
    from megatron.core.optimizer import clip_grads, optimizer
    from megatron.core.pipeline_parallel import schedules

    for module in (clip_grads, optimizer, schedules, utils):
        _replace(module, "torch", _TorchOnCPU("torch"))


class _OneStream:
    """The CPU's only stream, and each of its events: work is done in the order of its calls."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _OneStream)

    def __hash__(self) -> int:
        return 0

    def wait_stream(self, _other: "_OneStream") -> None:
        """Nothing is ever ahead or behind."""

    def record_event(self) -> "_OneStream":
        """The stream itself: what it has recorded has happened."""
        return self

    def synchronize(self) -> None:
        """Nothing is ever under way."""


def _replace_streams() -> None:
    _replace(torch.cuda, "synchronize", lambda *_args: None)
    _replace(torch.cuda, "Stream", _OneStream)
    _replace(torch.cuda, "current_stream", _OneStream)
    _replace(torch.cuda, "stream", lambda _stream: nullcontext())
    from megatron.core.transformer.moe import token_dispatcher

    # Experts' counts of tokens are on the CPU already, but not yet as numbers.
    _replace(token_dispatcher, "maybe_move_tensor_to_cpu", _on_cpu)


def _on_cpu(found: Any, as_numpy: bool = False, record_stream: bool = False) -> Any:
    return found.numpy() if as_numpy and isinstance(found, torch.Tensor) else found


class _TorchOnCPU(types.ModuleType):
    """torch, except that tensors requested on "cuda" are created on the CPU."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    @staticmethod
    def tensor(data: Any, device: Any = None, **kwargs: Any) -> torch.Tensor:
        return torch.tensor(data, device=_CPU if device == "cuda" else device, **kwargs)

    @staticmethod
    def zeros(*size: Any, device: Any = None, **kwargs: Any) -> torch.Tensor:
        return torch.zeros(*size, device=_CPU if device == "cuda" else device, **kwargs)


def _replace_random_states() -> None:
    _replace(torch.cuda, "manual_seed", lambda seed: torch.manual_seed(int(seed)))
    _replace(torch.cuda, "get_rng_state", lambda device=None: torch.get_rng_state())
    _replace(torch.cuda.random, "get_rng_state", lambda device=None: torch.get_rng_state())
    from megatron.core.tensor_parallel import random

    _replace(
        random,
        "_set_cuda_rng_state",
        lambda state, device=-1, graph_safe=False: torch.set_rng_state(state),
    )


@contextmanager
def named_as_cuda() -> Iterator[None]:
    """Within it, `tensor.type()` of a CPU tensor is, for example, "torch.cuda.FloatTensor".

    megatron-core's optimizers ask for it by this name when they sort parameters and clip gradients,
    and refuse any other. Where CUDA is available, nothing is changed.
    """
    if torch.cuda.is_available():
        yield
        return
    original = torch.Tensor.type

    def named(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        found = original(tensor, *args, **kwargs)  # a tensor, if it was asked to convert
        return found.replace("torch.", "torch.cuda.", 1) if isinstance(found, str) else found

    _replace(torch.Tensor, "type", named)
    try:
        yield
    finally:
        _replace(torch.Tensor, "type", original)
