"""A micro-batch: trajectories as rectangular tensors, padded on the right."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rljob_trainer.trajectories.trajectory import Trajectory


@dataclass(frozen=True)
class PaddedBatch:
    """Model input by position, and everything else by response token."""

    inputs: Int64[Tensor, "row position"]  # all tokens but the last; may have rows of padding
    positions: Int64[Tensor, "row position"]
    predictors: Int64[Tensor, "batch response"]  # the position that predicts each response token
    targets: Int64[Tensor, "batch response"]
    valid: Bool[Tensor, "batch response"]  # False: padding
    loss_mask: Float32[Tensor, "batch response"]
    sample_tokens: Float32[Tensor, " batch"]  # tokens that each trajectory's sample learns in all
    rollout_log_probs: Float32[Tensor, "batch response"]
    old_log_probs: Float32[Tensor, "batch response"] | None
    reference_log_probs: Float32[Tensor, "batch response"] | None
    values: Float32[Tensor, "batch response"] | None
    advantages: Float32[Tensor, "batch response"] | None
    returns: Float32[Tensor, "batch response"] | None


def padded_batch(
    trajectories: Sequence[Trajectory],
    device: torch.device,
    multiple: int = 1,
    shape: tuple[int, int] = (0, 0),
) -> PaddedBatch:
    """Pads the input to the longest trajectory, and on to a multiple of `multiple` positions.

    Attention is causal, so no token sees the padding on its right.

    Args:
        trajectories: at least one.
        device: where the tensors are put.
        multiple: of positions.
        shape: rows and positions that the input has at least.
    """
    tokens = pad_sequence([t.tokens for t in trajectories], batch_first=True)
    prompts = torch.tensor([t.prompt_length for t in trajectories])[:, None]
    responses = torch.tensor([t.response_length for t in trajectories])[:, None]
    steps = torch.arange(int(responses.max()))[None]
    valid = steps < responses
    predictors = torch.where(valid, prompts - 1 + steps, 0)
    inputs = tokens[:, :-1]
    rows, columns = (max(wanted, has) for wanted, has in zip(shape, inputs.shape, strict=True))
    columns += -columns % multiple
    padding = (0, columns - inputs.shape[1], 0, rows - inputs.shape[0])
    inputs = torch.nn.functional.pad(inputs, padding)

    def padded(name: str) -> Tensor | None:
        values = [getattr(t, name) for t in trajectories]
        return None if values[0] is None else pad_sequence(values, batch_first=True).to(device)

    loss_mask, rollout = padded("loss_mask"), padded("rollout_log_probs")
    assert loss_mask is not None
    assert rollout is not None
    return PaddedBatch(
        inputs=inputs.contiguous().to(device),
        positions=torch.arange(inputs.shape[1]).expand_as(inputs).contiguous().to(device),
        predictors=predictors.to(device),
        targets=tokens.gather(1, predictors + 1).to(device),
        valid=valid.to(device),
        loss_mask=loss_mask,
        sample_tokens=torch.tensor(
            [
                float((t.loss_mask > 0).sum()) if t.sample_tokens is None else t.sample_tokens
                for t in trajectories
            ],
            dtype=torch.float32,
            device=device,
        ),
        rollout_log_probs=rollout,
        old_log_probs=padded("old_log_probs"),
        reference_log_probs=padded("reference_log_probs"),
        values=padded("values"),
        advantages=padded("advantages"),
        returns=padded("returns"),
    )
