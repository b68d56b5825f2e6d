"""Sources of prompts written for slime (its `--data-source-path`)."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from rljob.api.data import DataSpec
from rljob.slime import modules
from rljob.slime.arguments import Arguments

_KEYS = {"input_key": "prompt", "label_key": "label", "metadata_key": "metadata"}
_AT_ONCE = 1024  # groups that are drawn again with one call

# Of slime's own source, which a class may derive from where slime is installed.
_DEFAULTS = {
    "rollout_global_dataset": True,
    "multimodal_keys": None,
    "tool_key": None,
    "dump_details": None,
    "buffer_filter_path": None,
}


class RefusedSourceError(Exception):
    """What a class has, gave or did can't be used; a phrase that follows its name."""


class DataSource(ABC):
    """slime's abstract class of the same name, for classes that derive from it."""

    @abstractmethod
    def get_samples(self, num_samples: int) -> list[list[Any]]:
        """The next groups of samples."""

    @abstractmethod
    def add_samples(self, samples: list[list[Any]]) -> None:
        """Takes groups back; never called here."""

    @abstractmethod
    def save(self, rollout_id: int) -> None:
        """Keeps its place in files."""

    @abstractmethod
    def load(self, rollout_id: int | None = None) -> None:
        """Goes back to a place that was kept."""

    @abstractmethod
    def __len__(self) -> int:
        """How much it has; not asked here."""


def install() -> None:
    """Makes slime's modules importable; before the user's module is imported."""
    modules.install({})
    modules.add_missing({"slime.rollout.data_source": {"DataSource": DataSource}})


def with_keys(spec: DataSpec) -> DataSpec:
    """The data section with the keys of the records that `SlimeSource` gives."""
    return spec.model_copy(update=_KEYS)


class SlimeSource:
    """A class of slime's form as one of rljob: dicts instead of groups, and a state.

    The state is what the class's `save` has written to files, whose content the checkpoint keeps.
    Where there is none, the prompts up to the cursor are drawn again.
    """

    def __init__(self, made: type, arguments: Mapping[str, Any], directory: Path) -> None:
        """Makes the user's object.

        Args:
            made: the class, `(args)`.
            arguments: the job's, by slime's names.
            directory: for the class's files, `args.save` and `args.load`; emptied.

        Raises:
            RefusedSourceError: it lacks a method.
        """
        self._directory = directory
        self._samples = arguments["n_samples_per_prompt"]
        self._drawn = 0
        self._digest = b""  # of all prompts so far
        self._empty()
        own = {
            "apply_chat_template": False,  # rljob renders the messages
            "save": str(directory),
            "load": str(directory),
        }
        self._user = made(Arguments({**_DEFAULTS, **arguments, **own}))
        if not self._has("get_samples"):
            raise RefusedSourceError(" has no method get_samples; allowed: a class with it")
        if self._has("save") != self._has("load"):
            raise RefusedSourceError(
                " has only one of the methods save and load; allowed: both, or neither"
            )

    def get_samples(self, count: int) -> list[dict[str, Any]]:
        """The next prompts, at most `count`.

        Raises:
            RefusedSourceError: they are not given as groups of equal samples.
        """
        given = self._user.get_samples(count)
        call = f".get_samples({count}) returned"
        allowed = f"allowed: a list of 1 to {count} groups"
        if not isinstance(given, list):
            raise RefusedSourceError(f"{call} a {type(given).__name__}; {allowed}")
        if not 1 <= len(given) <= count:
            raise RefusedSourceError(f"{call} {len(given)} groups; {allowed}")
        return [self._record(group) for group in given]

    def save(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        files = {}
        if self._has("save"):
            self._empty()
            self._user.save(self._drawn)
            files = {
                str(path.relative_to(self._directory)): path.read_bytes()
                for path in sorted(self._directory.rglob("*"))
                if path.is_file()
            }
        return {"drawn": self._drawn, "digest": self._digest, "files": files}

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from a state; called once, before anything was drawn.

        Raises:
            RefusedSourceError: drawn again, the prompts are others.
        """
        if state["files"]:
            self._empty()
            for name, content in state["files"].items():
                path = self._directory / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            self._user.load(state["drawn"])
            self._drawn, self._digest = state["drawn"], state["digest"]
            return
        while self._drawn < state["drawn"]:
            self.get_samples(min(state["drawn"] - self._drawn, _AT_ONCE))
        if self._digest != state["digest"]:
            raise RefusedSourceError(
                f" gave other prompts than before when its first {self._drawn} were drawn again; "
                "allowed: the same prompts each time, or methods save and load that keep its place "
                "in files in args.save"
            )

    def _record(self, group: Any) -> dict[str, Any]:
        where = f".get_samples, group {self._drawn}:"
        kind = modules.sample_class()
        if not isinstance(group, list) or not all(isinstance(each, kind) for each in group):
            raise RefusedSourceError(
                f"{where} found {group!r:.200}; allowed: a list of slime's Samples, because the "
                "first parameter of the class's constructor is named args"
            )
        if len(group) != self._samples:
            raise RefusedSourceError(
                f"{where} found {len(group)} samples; allowed: {self._samples} "
                "(spec.algorithm.samplesPerPrompt)"
            )
        first = group[0]
        for each in group:
            if each.prompt != first.prompt:
                raise RefusedSourceError(
                    f"{where} found the prompts {first.prompt!r:.80} and {each.prompt!r:.80}; "
                    "allowed: one prompt for all samples of a group"
                )
            if each.response or each.response_length:
                raise RefusedSourceError(
                    f"{where} found a sample with the response {each.response!r:.80}; allowed: "
                    "samples without one, because each is generated anew"
                )
            if any(value is not None for value in (each.multimodal_inputs or {}).values()):
                raise RefusedSourceError(
                    f"{where} found multimodal_inputs; allowed: prompts of text alone"
                )
        self._drawn += 1
        said = repr(first.prompt).encode("utf-8", "surrogatepass")
        self._digest = sha256(self._digest + said).digest()
        values = (first.prompt, first.label, first.metadata)
        return dict(zip(_KEYS.values(), values, strict=True))

    def _has(self, method: str) -> bool:
        return callable(getattr(self._user, method, None))

    def _empty(self) -> None:
        """Removes what an earlier save or process has left."""
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True)
