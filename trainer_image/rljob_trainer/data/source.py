"""The stream of prompts: JSON Lines files, shuffled by the seed, with a cursor to resume from."""

import json
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from rljob.api.data import DataSpec
from rljob.errors import UsageError
from rljob_trainer.data.tokenizer import PromptTokenizer

log = structlog.get_logger()

# Lines up to here are parsed before the run starts, so that a mistake in the data is reported at
# once; what lies beyond (of a file too large to read twice) is checked when it is drawn.
PREFLIGHT_BYTES = 64 * 2**20


@dataclass(frozen=True)
class PromptRef:
    """Which prompt of which epoch: the identity of a use of a prompt."""

    epoch: int
    index: int  # line number over all files, from 0


@dataclass(frozen=True)
class Prompt:
    """A prompt, ready to become a group."""

    text: str
    tokens: npt.NDArray[np.int32]  # [prompt]
    label: Any
    metadata: dict[str, Any]


@dataclass
class _File:
    """One JSON Lines file and where its lines start; 8 bytes of memory a line."""

    path: Path
    offsets: "array[int]" = field(default_factory=lambda: array("q"))

    def line(self, number: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.offsets[number])
            return file.readline()


class JsonlSource:
    """Prompts of JSON Lines files, in an order that only the seed and the files decide.

    Each epoch is a permutation of all lines. The cursor is the pair (epoch, position), so a
    resumed run goes on with exactly the next prompt.

    Raises:
        UsageError: a file is unreadable or empty, a line is no JSON object or lacks a key, a
            prompt is too long; with file and line.
    """

    def __init__(
        self, spec: DataSpec, paths: Sequence[str], tokenizer: PromptTokenizer, seed: int
    ) -> None:
        self._spec = spec
        self._tokenizer = tokenizer
        self._seed = seed
        self._files = [self._index(Path(path)) for path in paths]
        self._ends = list(accumulate(len(file.offsets) for file in self._files))
        if not self._ends or not self._ends[-1]:
            raise UsageError(
                f"spec.data.prompts: found no prompts in {', '.join(paths)}; "
                "allowed: at least one line"
            )
        self._epoch = 0
        self._position = 0
        self._order = self._permutation(0)
        self._skipped_in_a_row = 0
        self.skipped = 0

    def __len__(self) -> int:
        """Prompts in an epoch."""
        return self._ends[-1]

    def draw(self) -> tuple[PromptRef, Prompt | None]:
        """The next prompt; after the last one the next epoch begins. None: it is skipped."""
        if self._position == len(self):
            self._epoch += 1
            self._position = 0
            self._order = self._permutation(self._epoch)
        index = int(self._order[self._position])
        self._position += 1
        prompt = self.read(index)
        self._skipped_in_a_row = 0 if prompt is not None else self._skipped_in_a_row + 1
        if self._skipped_in_a_row >= len(self):
            raise UsageError(
                f"spec.data.maxPromptTokens: all {len(self)} prompts are longer than "
                f"{self._spec.max_prompt_tokens} tokens"
            )
        if prompt is None:
            self.skipped += 1
        return PromptRef(self._epoch, index), prompt

    def save(self) -> dict[str, int]:
        """The cursor, for a checkpoint."""
        return {
            "epoch": self._epoch,
            "position": self._position,
            "skipped": self.skipped,
            "prompts": len(self),
        }

    def load(self, cursor: dict[str, int]) -> None:
        """Goes on from a cursor.

        Raises:
            UsageError: the data has another number of prompts than when the cursor was saved.
        """
        if cursor["prompts"] != len(self):
            raise UsageError(
                f"spec.data.prompts: found {len(self)} prompts, but the checkpoint was made with "
                f"{cursor['prompts']}; allowed: the same data, or another run directory"
            )
        self._epoch = cursor["epoch"]
        self._position = cursor["position"]
        self.skipped = cursor["skipped"]
        self._order = self._permutation(self._epoch)

    def read(self, index: int) -> Prompt | None:
        """The prompt of line `index` over all files; None if it is too long and may be skipped."""
        which = bisect_right(self._ends, index)
        file = self._files[which]
        number = index - (self._ends[which - 1] if which else 0)
        record = self._parse(file.path, number, file.line(number))
        return self._prompt(record, f"{file.path}:{number + 1}")

    def _permutation(self, epoch: int) -> npt.NDArray[np.int64]:
        if not self._spec.shuffle:
            return np.arange(len(self))
        return np.random.default_rng([self._seed, epoch]).permutation(len(self))

    def _index(self, path: Path) -> _File:
        file = _File(path)
        blank = None
        try:
            for number, (offset, line) in enumerate(_lines(path)):
                if not line.strip():
                    blank = number if blank is None else blank
                    continue
                if blank is not None:
                    raise UsageError(
                        f"{path}:{blank + 1}: found an empty line; allowed: one JSON object a line"
                    )
                if offset < PREFLIGHT_BYTES:
                    self._parse(path, number, line)
                file.offsets.append(offset)
        except OSError as error:
            raise UsageError(
                f"spec.data.prompts: cannot read {path}: {error.strerror}; "
                "allowed: a readable JSON Lines file"
            ) from error
        if not file.offsets:
            raise UsageError(f"spec.data.prompts: {path} is empty; allowed: at least one line")
        return file

    def _parse(self, path: Path, number: int, line: bytes) -> dict[str, Any]:
        where = f"{path}:{number + 1}"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise UsageError(
                f"{where}: found no JSON ({error}); allowed: one JSON object a line"
            ) from error
        if not isinstance(record, dict):
            raise UsageError(
                f"{where}: found a JSON {type(record).__name__}; allowed: one JSON object a line"
            )
        for field_name, key in (
            ("inputKey", self._spec.input_key),
            ("labelKey", self._spec.label_key),
        ):
            if key not in record:
                raise UsageError(
                    f"{where}: the key {key!r} (spec.data.{field_name}) is missing; found the "
                    f"keys {', '.join(map(repr, record)) or 'none'}"
                )
        metadata = self._metadata(record)
        if not isinstance(metadata, dict):
            raise UsageError(
                f"{where}: {self._spec.metadata_key!r} (spec.data.metadataKey) is a "
                f"{type(metadata).__name__}; allowed: an object"
            )
        return record

    def _prompt(self, record: dict[str, Any], where: str) -> Prompt | None:
        spec = self._spec
        text, tokens = self._tokenizer.encode(record[spec.input_key], where)
        if len(tokens) > spec.max_prompt_tokens:
            if spec.skip_long_prompts:
                log.warning("prompt.skipped", where=where, tokens=len(tokens))
                return None
            raise UsageError(
                f"{where}: the prompt has {len(tokens)} tokens; allowed: "
                f"{spec.max_prompt_tokens} (spec.data.maxPromptTokens; or set "
                "spec.data.skipLongPrompts)"
            )
        metadata = {**self._metadata(record), "source": where}
        return Prompt(text, tokens, record[spec.label_key], metadata)

    def _metadata(self, record: dict[str, Any]) -> Any:
        key = self._spec.metadata_key
        return record.get(key, {}) if key is not None else {}


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        offset = 0
        for line in file:
            yield offset, line
            offset += len(line)
