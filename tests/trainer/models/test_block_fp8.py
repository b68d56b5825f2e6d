"""Weights in blocks of 8 bits: read as numbers, and checked."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rljob.errors import UsageError
from rljob_trainer.models.block_fp8 import dequantized
from rljob_trainer.models.checkpoint import save_checkpoint
from rljob_trainer.models.source import open_source
from tests.trainer.models.tiny import make_checkpoint

WEIGHT = "model.layers.1.mlp.experts.3.down_proj.weight"
QUANTIZATION = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]}


def test_each_block_has_its_scale() -> None:
    weight = torch.ones(130, 257, dtype=torch.float8_e4m3fn)
    found = dequantized(weight, torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    assert found.dtype == torch.float32
    assert (found[127, 127], found[128, 127]) == (1.0, 4.0)
    assert (found[0, 128], found[129, 255], found[129, 256]) == (2.0, 5.0, 6.0)


def quantized(directory: Path, scales: tuple[int, ...], **changes: Any) -> Path:
    make_checkpoint(directory, "deepseek_v3")
    tensors = load_file(directory / "model.safetensors")
    tensors[WEIGHT] = torch.full(tensors[WEIGHT].shape, 3.0).to(torch.float8_e4m3fn)
    tensors[WEIGHT + "_scale_inv"] = torch.full(scales, 0.5)
    save_file(tensors, directory / "model.safetensors")
    fields = json.loads((directory / "config.json").read_text())
    fields["quantization_config"] = QUANTIZATION | changes
    (directory / "config.json").write_text(json.dumps(fields))
    return directory


def test_a_quantized_checkpoint_is_read_and_saved_without_quantization(tmp_path: Path) -> None:
    source = quantized(tmp_path / "before", (1, 1))
    weights = open_source(source, None).weights
    found = weights.read(WEIGHT)
    assert torch.equal(found, torch.full((64, 32), 1.5))
    save_checkpoint(tmp_path / "after", [(WEIGHT, found)], source=source)
    assert "quantization_config" not in json.loads((tmp_path / "after/config.json").read_text())


@pytest.mark.parametrize(
    ("scales", "changes", "message"),
    [
        ((2, 1), {}, r"_scale_inv has shape \[2, 1\], for blocks of 128 x 128 it is \[1, 1\]"),
        ((1, 1), {"quant_method": "awq"}, "quant_method: found 'awq', allowed: 'fp8'"),
        ((1, 1), {"weight_block_size": [64, 64]}, r"found \[64, 64\], allowed: \[128, 128\]"),
    ],
)
def test_other_quantization_is_refused(
    scales: tuple[int, ...], changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        open_source(quantized(tmp_path, scales, **changes), None)


def test_layers_of_multi_token_prediction_are_left_out(tmp_path: Path) -> None:
    directory = make_checkpoint(tmp_path, "deepseek_v3")
    tensors = load_file(directory / "model.safetensors")
    tensors["model.layers.3.eh_proj.weight"] = torch.zeros(64, 128)
    save_file(tensors, directory / "model.safetensors")
    with pytest.raises(UsageError, match=r"model\.layers\.3\.eh_proj\.weight is not a tensor of"):
        open_source(directory, None)
    source = open_source(directory, {"num_nextn_predict_layers": 1})
    names = [t.name for e in source.architecture.table.entries(source.config) for t in e.tensors]
    assert not any(name.startswith("model.layers.3.") for name in names)
