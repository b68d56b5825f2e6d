"""A source of prompts that the user provides."""

import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgpack

from rljob.api.data import DataSpec
from rljob.api.reward import RewardSpec
from rljob.errors import UsageError
from rljob.slime.signature import is_slime_hook
from rljob_trainer.data import slime_source
from rljob_trainer.data.answer import Answers
from rljob_trainer.data.encoder import PromptEncoder
from rljob_trainer.data.source import BadPrompt, Drawn, EndedGroup, PromptRef, PromptSource
from rljob_trainer.data.tokenizer import PromptTokenizer

_FIELD = "spec.data.source"
_METHODS = ("get_samples", "save", "load")
_STATE = "None, bool, int, float, str, bytes, and lists and dicts of them"
_PATIENCE = 10_000  # prompts; a custom source has no epoch after which its prompts repeat


class CustomSource(PromptSource):
    """Gets prompts from the class in `spec.data.source`; docs/data.md describes its interface.

    Its prompts are identified by counting them, all in epoch 0. The cursor is that count and the
    state that the class itself saves. A class of slime's form is adapted (`slime_source.py`).

    Raises:
        UsageError: the class can't be loaded or created, lacks a method, raises, or returns
            something that is not allowed.
    """

    prompts = None
    patience = _PATIENCE

    def __init__(
        self,
        spec: DataSpec,
        tokenizer: PromptTokenizer,
        seed: int,
        *,
        rewards: Sequence[RewardSpec],
        arguments: Mapping[str, Any],
        directory: Path,
        answers: Answers | None = None,
    ) -> None:
        """
        Args:
            spec: the job's data section.
            tokenizer: the model's.
            seed: the job's.
            rewards: those that judge responses.
            arguments: the job's by slime's names.
            directory: for files of a class of slime's form; emptied.
            answers: makes answers of labels, where they are learned.
        """
        super().__init__(spec)
        self.files = {}
        assert spec.source is not None
        self._hook = spec.source
        self._given = 0
        slime_source.install()
        made = _imported(self._hook)
        if is_slime_hook(made):
            adapter = slime_source.SlimeSource
            self._user: Any = self._run("its __init__(args)", adapter, made, arguments, directory)
            spec = slime_source.with_keys(spec)
        else:
            self._user = self._run("its __init__(data, seed)", made, spec, seed)
        self._spec = spec
        self._encoder = PromptEncoder(spec, tokenizer, rewards=rewards, answers=answers)
        for method in _METHODS:
            if not callable(getattr(self._user, method, None)):
                raise UsageError(
                    f"{_FIELD}: {self._hook} has no method {method}; allowed: a class with "
                    f"{', '.join(_METHODS)}, and add_samples where it learns from rewards"
                )
        self.save()  # a state that can't be saved shows now, not at the first checkpoint

    def save(self) -> dict[str, Any]:
        """The cursor, with the state that the class saves."""
        state = self._run("save", self._user.save)
        try:
            packed = msgpack.packb(state)
        except (TypeError, ValueError, OverflowError) as error:
            raise UsageError(
                f"{_FIELD}: {self._hook}.save returned what a checkpoint can't keep: {error}; "
                f"allowed: {_STATE}"
            ) from error
        return {
            "given": self._given,
            "skipped": self.skipped,
            "state": packed,
            **self.bad_share.save(),
        }

    def load(self, cursor: dict[str, Any]) -> None:
        """Continues from a cursor."""
        state = msgpack.unpackb(cursor["state"], strict_map_key=False)
        self._run("load", self._user.load, state)
        self._given = cursor["given"]
        self.skipped = cursor["skipped"]
        self.bad_share.load(cursor)

    def end(self, groups: Sequence[EndedGroup]) -> None:
        """Hands ended groups to `add_samples`, if the class has it."""
        add_samples = getattr(self._user, "add_samples", None)
        if add_samples is not None:
            self._run("add_samples", add_samples, list(groups))

    def _take(self, count: int) -> Iterator[tuple[PromptRef, Drawn]]:
        allowed = f"allowed: a list of 1 to {count} dicts"
        given = self._run("get_samples", self._user.get_samples, count)
        if not isinstance(given, list):
            raise UsageError(
                f"{_FIELD}: {self._hook}.get_samples({count}) returned a {type(given).__name__}; "
                f"{allowed}"
            )
        if not 1 <= len(given) <= count:
            raise UsageError(
                f"{_FIELD}: {self._hook}.get_samples({count}) returned {len(given)} prompts; "
                f"{allowed}"
            )
        for record in given:
            where = f"{_FIELD}: {self._hook}, prompt {self._given}"
            try:
                encoded: Drawn = self._encoder.encode(self._checked(record, where), where)
            except UsageError as error:
                encoded = BadPrompt(str(error))
            ref = PromptRef(0, self._given)
            self._given += 1
            yield ref, encoded

    def _checked(self, record: object, where: str) -> dict[str, Any]:
        """A copy of the record as parsed from JSON, which the class can no longer change."""
        if not isinstance(record, dict):
            raise UsageError(f"{where}: found a {type(record).__name__}; allowed: a dict")
        self._encoder.check(record, where)
        spec = self._spec
        keys = {spec.input_key, spec.label_key, spec.metadata_key}
        try:
            plain: dict[str, Any] = json.loads(
                json.dumps({key: record[key] for key in keys & record.keys()})
            )
        except (TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"{where}: {error}; allowed: what JSON can represent") from error
        return plain

    def _run(self, what: str, function: Callable[..., Any], *arguments: object) -> Any:
        try:
            return function(*arguments)
        except slime_source.RefusedSourceError as error:
            raise UsageError(f"{_FIELD}: {self._hook}{error}") from None
        except Exception as error:  # whatever user code raises
            raise UsageError(
                f"{_FIELD}: {self._hook}: {what} raised {type(error).__name__}: {error}"
            ) from error


def _imported(hook: str) -> type:
    module, _, name = hook.partition(":")
    allowed = 'allowed: "module:Class" on PYTHONPATH'
    try:
        found: object = getattr(importlib.import_module(module), name)
    except Exception as error:  # a module can raise anything while it is imported
        raise UsageError(
            f"{_FIELD}: cannot load {hook!r}: {type(error).__name__}: {error}; {allowed}"
        ) from error
    if not isinstance(found, type):
        raise UsageError(f"{_FIELD}: {hook!r} is a {type(found).__name__}, not a class; {allowed}")
    return found
