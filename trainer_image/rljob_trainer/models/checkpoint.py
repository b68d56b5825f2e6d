"""Hugging Face checkpoints: a directory of config.json and safetensors."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rljob.errors import UsageError
from rljob_trainer.files.durable import sync, sync_tree
from rljob_trainer.models.block_fp8 import BLOCK, SCALE, dequantized, scales_shape
from rljob_trainer.models.config import ModelConfig
from rljob_trainer.models.table import Table

_INDEX = "model.safetensors.index.json"
_ONE_FILE = "model.safetensors"
_WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".gguf"}
_SHARD_BYTES = 5 * 2**30
_EMBEDDING = "model.embed_tokens.weight"
_OUTPUT = "lm_head.weight"
# Tensors that some checkpoints contain although they are derived from others.
_DERIVED = ("rotary_emb.inv_freq",)


class Safetensors:
    """The tensors of a checkpoint directory, read one by one."""

    def __init__(self, directory: Path) -> None:
        """Opens every file's header.

        Raises:
            UsageError: no weights, a file that is missing or is not safetensors, or files that
                contradict each other: other programs might read other weights from them.
        """
        self.directory = directory
        self._files: dict[str, Path] = {}  # by tensor
        places = self._places()
        files = sorted({directory / name for name in places.values()})
        files = files or sorted(directory.glob("*.safetensors"))
        if not files:
            raise UsageError(f"model checkpoint {directory}: no *.safetensors files")
        self._opened: dict[Path, Any] = {file: _opened(file) for file in files}
        for file, handle in self._opened.items():
            for name in handle.keys():  # noqa: SIM118  (a handle is not a mapping)
                other = self._files.setdefault(name, file)
                if other != file:
                    raise UsageError(
                        f"model checkpoint {directory}: {name} is in {other.name} and in "
                        f"{file.name}, allowed: in one file"
                    )
        for name, place in places.items():
            found = self._files.get(name)
            if found != directory / place:
                raise UsageError(
                    f"{directory / _INDEX}: {name} should be in {place}, found in "
                    f"{found.name if found else 'no file'}"
                )

    def _places(self) -> dict[str, str]:
        """File names by tensor name, from the index; empty if there is no index."""
        path = self.directory / _INDEX
        if not path.is_file():
            return {}
        try:
            places = dict(json.loads(path.read_text(encoding="utf-8"))["weight_map"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path}: not a readable index of safetensors: {error!r}") from error
        strangers = [place for place in places.values() if not isinstance(place, str)]
        if strangers or not places:
            found = repr(strangers[0]) if strangers else "an empty weight_map"
            raise UsageError(f"{path}: not a readable index of safetensors: found {found}")
        one = self.directory / _ONE_FILE
        if one.is_file() and _ONE_FILE not in places.values():
            raise UsageError(
                f"model checkpoint {self.directory}: {_ONE_FILE} is not named by {_INDEX}. "
                "transformers reads the first, engines what the second names; remove the old one"
            )
        return places

    def read(self, name: str) -> Tensor:
        """A tensor, on the CPU; one in blocks of 8 bits becomes one of 32."""
        tensor = self._stored(name)
        scales = name + SCALE
        return dequantized(tensor, self._stored(scales)) if scales in self._files else tensor

    def _stored(self, name: str) -> Tensor:
        tensor: Tensor = self._opened[self._files[name]].get_tensor(name)
        return tensor

    def check(self, table: Table, config: ModelConfig) -> None:
        """Compares names, shapes and dtypes with what the model's table requires.

        Raises:
            UsageError: the first difference.
        """
        where = f"model checkpoint {self.directory}"
        missing = set(self._files)
        for entry in table.entries(config):
            for tensor in entry.tensors:
                if tensor.name not in self._files:
                    raise UsageError(f"{where}: {config.architecture} needs {tensor.name}, missing")
                missing.discard(tensor.name)
                found = self._opened[self._files[tensor.name]].get_slice(tensor.name)
                shape = tuple(found.get_shape())
                if shape != tensor.shape(config):
                    raise UsageError(
                        f"{where}: {tensor.name} has shape {list(shape)}, by config.json it is "
                        f"{list(tensor.shape(config))}"
                    )
                scales = tensor.name + SCALE
                if found.get_dtype() == "F8_E4M3" and scales in missing:
                    self._check_scales(where, scales, scales_shape(shape))
                    missing.discard(scales)
                elif found.get_dtype() not in ("F32", "BF16", "F16"):
                    raise UsageError(
                        f"{where}: {tensor.name} is {found.get_dtype()}, allowed: F32, BF16, F16"
                    )
        predicting = _prediction_layers(config)
        for name in sorted(missing):
            if config.tied and name == _OUTPUT:
                self._check_tied(where)
            elif not name.endswith(_DERIVED) and not name.startswith(predicting):
                raise UsageError(f"{where}: {name} is not a tensor of {config.architecture}")

    def _check_scales(self, where: str, name: str, expected: tuple[int, ...]) -> None:
        shape = tuple(self._opened[self._files[name]].get_slice(name).get_shape())
        if shape != expected:
            raise UsageError(
                f"{where}: {name} has shape {list(shape)}, for blocks of {BLOCK} x {BLOCK} it is "
                f"{list(expected)}"
            )

    def _check_tied(self, where: str) -> None:
        embedding, output = self.read(_EMBEDDING), self.read(_OUTPUT)
        if embedding.shape != output.shape or not bool((embedding == output).all()):
            raise UsageError(
                f"{where}: {_OUTPUT} differs from {_EMBEDDING}, but config.json has "
                "tie_word_embeddings: true, by which they are one; set it to false, or remove the "
                "tensor"
            )


def _prediction_layers(config: ModelConfig) -> tuple[str, ...]:
    """How the names of tensors begin that serve multi-token prediction, which is not trained."""
    first = config.layers
    return tuple(f"model.layers.{first + n}." for n in range(config.prediction_layers))


def _opened(file: Path) -> Any:
    try:
        return safe_open(file, framework="pt")
    except FileNotFoundError:
        # safetensors says so of a file that it may not read, too.
        if file.exists():
            raise UsageError(
                f"{file}: not readable by uid {os.getuid()}; its mode is "
                f"{file.stat().st_mode & 0o7777:04o}, its owner uid {file.stat().st_uid}"
            ) from None
        raise UsageError(f"{file}: named by {_INDEX}, missing") from None
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{file}: not a readable safetensors file: {error}") from error


def save_checkpoint(directory: Path, weights: Iterable[tuple[str, Tensor]], source: Path) -> None:
    """Writes a Hugging Face checkpoint; config and tokenizer files come from `source`.

    It is written as `directory`.partial and then renamed, so `directory` is always complete. An
    existing checkpoint is replaced.
    """
    partial = directory.with_name(directory.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    copy_companions(source, partial)
    _save_weights(partial, weights)
    sync_tree(partial)
    shutil.rmtree(directory, ignore_errors=True)
    partial.rename(directory)
    sync(directory.parent)


def _save_weights(directory: Path, weights: Iterable[tuple[str, Tensor]]) -> None:
    shards: list[dict[str, Tensor]] = [{}]
    size = total = 0
    for name, tensor in weights:
        nbytes = tensor.numel() * tensor.element_size()
        if shards[-1] and size + nbytes > _SHARD_BYTES:
            shards.append({})
            size = 0
        # A clone, as tensors may be views of one parameter, or change before they are written.
        shards[-1][name] = tensor.detach().to("cpu", copy=True).contiguous()
        size += nbytes
        total += nbytes
    names = [_shard_name(number, len(shards)) for number in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        save_file(shard, directory / name, metadata={"format": "pt"})
        (directory / name).chmod(0o644)  # safetensors writes for the owner only
    if len(shards) > 1:
        places = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
        write_index(directory, places, total)


def copy_companions(source: Path, directory: Path) -> None:
    """Copies a checkpoint's config and tokenizer files: everything that is not a weight.

    The copy's config.json names no quantization: weights are saved without it.
    """
    for file in source.iterdir():
        if file.is_file() and file.suffix not in _WEIGHTS and file.name != _INDEX:
            shutil.copyfile(file, directory / file.name)
    config = directory / "config.json"
    fields = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    if fields.pop("quantization_config", None) is not None:
        config.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def write_index(directory: Path, places: Mapping[str, str], total: int) -> None:
    """Writes the index that says which file each tensor is in, for a checkpoint of several files.

    Args:
        directory: of the checkpoint.
        places: file names by tensor name.
        total: bytes of all tensors.
    """
    content = {"metadata": {"total_size": total}, "weight_map": places}
    (directory / _INDEX).write_text(json.dumps(content, indent=2), encoding="utf-8")


def _shard_name(number: int, count: int) -> str:
    return (
        f"model-{number + 1:05d}-of-{count:05d}.safetensors" if count > 1 else "model.safetensors"
    )
