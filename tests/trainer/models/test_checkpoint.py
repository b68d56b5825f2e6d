"""Hugging Face checkpoints: complete ones in one or several files, and broken ones."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from rljob.errors import UsageError
from rljob.model_config import read_config
from rljob_trainer.models import checkpoint as module
from rljob_trainer.models.checkpoint import Safetensors, save_checkpoint
from rljob_trainer.models.config_reader import ConfigReader
from rljob_trainer.models.registry import architecture_of
from tests.trainer.models.tiny import make_checkpoint

Tensors = dict[str, torch.Tensor]


def opened(directory: Path) -> Safetensors:
    """As the policy opens a checkpoint."""
    fields = read_config(directory)
    architecture = architecture_of(fields, "config.json")
    weights = Safetensors(directory)
    weights.check(architecture.table, architecture.config(ConfigReader(fields, "config.json")))
    return weights


def changed(directory: Path, change: Callable[[Tensors], object]) -> Path:
    make_checkpoint(directory)
    tensors = load_file(directory / "model.safetensors")
    change(tensors)
    save_file(tensors, directory / "model.safetensors")
    return directory


def test_many_files_hold_what_one_file_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make_checkpoint(tmp_path / "one", "llama")
    tensors = load_file(one / "model.safetensors")
    monkeypatch.setattr(module, "_SHARD_BYTES", 50_000)
    save_checkpoint(tmp_path / "many", tensors.items(), source=one)
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 2
    weights = opened(tmp_path / "many")
    for name, tensor in tensors.items():
        assert torch.equal(weights.read(name), tensor)
    read = AutoModelForCausalLM.from_pretrained(tmp_path / "many", dtype=torch.float32)
    assert torch.equal(read.state_dict()["lm_head.weight"], tensors["lm_head.weight"])


def test_a_checkpoint_is_whole_or_as_it_was(tmp_path: Path) -> None:
    """A save that breaks off, as when the disk is full, leaves what was there."""
    there = make_checkpoint(tmp_path / "model")
    before = {file.name: file.read_bytes() for file in there.iterdir()}

    def weights() -> Iterator[tuple[str, torch.Tensor]]:
        yield "model.norm.weight", torch.ones(64)
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(there, weights(), source=there)
    assert {file.name: file.read_bytes() for file in there.iterdir()} == before


def test_a_checkpoint_takes_the_place_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file of the one before is left, such as an index."""
    many = in_two_files(tmp_path, monkeypatch)
    monkeypatch.undo()
    one = make_checkpoint(tmp_path / "other", "llama", seed=1)
    tensors = load_file(one / "model.safetensors")
    save_checkpoint(many, tensors.items(), source=one)
    assert sorted(file.name for file in many.iterdir()) == sorted(
        file.name for file in one.iterdir()
    )
    assert torch.equal(opened(many).read("lm_head.weight"), tensors["lm_head.weight"])


def test_a_tied_checkpoint_may_name_its_output(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, tie_word_embeddings=True)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, tmp_path / "model.safetensors")
    opened(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda tensors: tensors.pop("model.layers.1.self_attn.k_norm.weight"),
            r"Qwen3ForCausalLM needs model\.layers\.1\.self_attn\.k_norm\.weight, missing",
        ),
        (
            lambda tensors: tensors.update({"model.layers.2.mlp.up_proj.weight": torch.ones(1)}),
            r"model\.layers\.2\.mlp\.up_proj\.weight is not a tensor of Qwen3ForCausalLM",
        ),
        (
            lambda tensors: tensors.update({"lm_head.weight": torch.ones(31, 64)}),
            r"lm_head\.weight has shape \[31, 64\], by config\.json it is \[32, 64\]",
        ),
        (
            lambda tensors: tensors.update({"model.norm.weight": torch.ones(64).int()}),
            r"model\.norm\.weight is I32, allowed: F32, BF16, F16",
        ),
    ],
    ids=["missing", "extra", "shape", "dtype"],
)
def test_the_first_difference_is_named(
    change: Callable[[Tensors], object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        opened(changed(tmp_path, change))


def test_a_directory_without_weights_is_told(tmp_path: Path) -> None:
    make_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"no \*\.safetensors files"):
        opened(tmp_path)


def in_two_files(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of several files, with its index."""
    one = make_checkpoint(directory / "one", "llama")
    monkeypatch.setattr(module, "_SHARD_BYTES", 150_000)
    save_checkpoint(directory / "many", load_file(one / "model.safetensors").items(), source=one)
    assert len(list((directory / "many").glob("*.safetensors"))) > 1
    return directory / "many"


def test_an_index_beside_a_newer_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a checkpoint of one file saved over one of many: transformers reads model.safetensors."""
    many = in_two_files(tmp_path, monkeypatch)
    make_checkpoint(many, "llama", seed=1)
    message = r"model\.safetensors is not named by model\.safetensors\.index\.json"
    with pytest.raises(UsageError, match=message):
        opened(many)


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    tensors = load_file(make_checkpoint(tmp_path) / "model.safetensors")
    save_file({"model.norm.weight": tensors["model.norm.weight"]}, tmp_path / "old.safetensors")
    message = r"model\.norm\.weight is in model\.safetensors and in old\.safetensors"
    with pytest.raises(UsageError, match=message):
        opened(tmp_path)


def test_an_index_that_misplaces_a_tensor_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = in_two_files(tmp_path, monkeypatch)
    file = many / "model.safetensors.index.json"
    index = json.loads(file.read_text())
    first = index["weight_map"]["model.embed_tokens.weight"]
    last = index["weight_map"]["model.norm.weight"]
    index["weight_map"]["model.norm.weight"] = first
    file.write_text(json.dumps(index))
    message = rf"index\.json: model\.norm\.weight should be in {first}, found in {last}"
    with pytest.raises(UsageError, match=message):
        opened(many)


def test_a_tied_output_that_differs_is_refused(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, tie_word_embeddings=True)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"] + 1
    save_file(tensors, tmp_path / "model.safetensors")
    message = (
        r"lm_head\.weight differs from model\.embed_tokens\.weight, but .*tie_word_embeddings: true"
    )
    with pytest.raises(UsageError, match=message):
        opened(tmp_path)


@pytest.mark.parametrize("length", [0, 4, 1000, -1])
def test_a_cut_off_file_is_told(length: int, tmp_path: Path) -> None:
    file = make_checkpoint(tmp_path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(UsageError, match=r"model\.safetensors: not a readable safetensors file"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("{", "not a readable index"),
        ("{}", "not a readable index"),
        ('{"weight_map": {}}', "not a readable index of safetensors: found an empty weight_map"),
        ('{"weight_map": {"a": 5}}', "not a readable index of safetensors: found 5"),
        (json.dumps({"weight_map": {"a": "model-9.safetensors"}}), "model-9.safetensors: named"),
    ],
)
def test_a_broken_index_is_told(index: str, message: str, tmp_path: Path) -> None:
    file = make_checkpoint(tmp_path) / "model.safetensors"
    file.rename(tmp_path / "model-1.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(UsageError, match=message):
        opened(tmp_path)
