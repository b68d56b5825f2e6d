"""Prompts from JSON Lines files, in an order determined by the seed and the files alone."""

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import structlog

from rljob.api.data import DataSpec
from rljob.api.reward import RewardSpec
from rljob.errors import UsageError
from rljob_trainer.data.ahead import ReadAhead
from rljob_trainer.data.answer import Answers
from rljob_trainer.data.encoder import PromptEncoder
from rljob_trainer.data.index import LONGEST_LINE, LineIndex, empty_line, too_long_line
from rljob_trainer.data.order import Order, Place
from rljob_trainer.data.source import (
    BadPrompt,
    Drawn,
    LongPrompt,
    Prompt,
    PromptRef,
    PromptSource,
)
from rljob_trainer.data.tokenizer import PromptTokenizer

# Lines up to here are parsed before the run starts, so that a mistake in the data is reported at
# once; the rest (of a file too large to read twice) is checked when it is drawn.
PREFLIGHT_BYTES = 64 * 2**20
# This many prompts of a file are tokenized, too: a chat template takes up to a millisecond each.
_PREFLIGHT_PROMPTS = 1000


log = structlog.get_logger()


class JsonlPrompts:
    """The prompts of JSON Lines files over all epochs, with random access.

    Memory use does not grow with the files; with `shuffleBlock`, one block of lines is held.

    Raises:
        UsageError: a file is unreadable or empty, a line is not a JSON object or lacks a key, a
            prompt is too long; names file and line.
    """

    def __init__(
        self,
        spec: DataSpec,
        paths: Sequence[str],
        tokenizer: PromptTokenizer,
        seed: int,
        index_directory: Path,
        *,
        rewards: Sequence[RewardSpec],
        answers: Answers | None = None,
    ) -> None:
        self._spec = spec
        self._seed = seed
        self._encoder = PromptEncoder(spec, tokenizer, rewards=rewards, answers=answers)
        self._files = [self._open(Path(path), index_directory) for path in paths]
        self._ends = list(accumulate(file.lines for file in self._files))
        self._epoch = 0
        self._order = self._order_of(0)
        self._block = (-1, 0)
        self._held: list[bytes] = []

    def __len__(self) -> int:
        """Prompts in an epoch."""
        return self._ends[-1]

    @property
    def checksums(self) -> dict[str, str]:
        """The checksum of each file's content, by its path."""
        return {str(file.path): file.checksum for file in self._files}

    def at(self, number: int) -> tuple[PromptRef, Drawn]:
        """The prompt that is drawn as number `number` of the run, from 0."""
        ref, line = self._line_at(number)
        try:
            return ref, self._prompt(ref.index, line)
        except UsageError as error:
            return ref, BadPrompt(str(error))

    def _line_at(self, number: int) -> tuple[PromptRef, bytes]:
        epoch, position = divmod(number, len(self))
        if not self._spec.shuffle:
            return PromptRef(epoch, position), self._read(position, 1)[0]
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._order_of(epoch)
        place = self._order.place(position)
        ref = PromptRef(epoch, place.line)
        if self._spec.shuffle_block is None:
            return ref, self._read(place.line, 1)[0]
        return ref, self._of_block(place)

    def line(self, index: int) -> Prompt | LongPrompt:
        """The prompt of line `index` over all files.

        Raises:
            UsageError: it is bad.
        """
        return self._prompt(index, self._read(index, 1)[0])

    def _order_of(self, epoch: int) -> Order:
        return Order(len(self), self._spec.shuffle_block, self._seed, epoch)

    def _of_block(self, place: Place) -> bytes:
        """A line; reads its whole block at once."""
        if self._block != (place.block, place.lines):
            self._block = (place.block, place.lines)
            self._held = self._read(*self._block)
        return self._held[(place.line - place.block) % len(self)]

    def _read(self, first: int, count: int) -> list[bytes]:
        """Reads consecutive lines; the first one follows the last."""
        lines: list[bytes] = []
        while len(lines) < count:
            file, number = self._find((first + len(lines)) % len(self))
            lines += file.read(number, min(count - len(lines), file.lines - number))
        return lines

    def _find(self, index: int) -> tuple[LineIndex, int]:
        """The file that contains a line, and the line's number in it."""
        which = bisect_right(self._ends, index)
        return self._files[which], index - (self._ends[which - 1] if which else 0)

    def _prompt(self, index: int, line: bytes) -> Prompt | LongPrompt:
        file, number = self._find(index)
        where = f"{file.path}:{number + 1}"
        return self._encoder.encode(self._parse(line, where), where)

    def _open(self, path: Path, index_directory: Path) -> LineIndex:
        try:
            self._preflight(path)
        except OSError as error:
            raise UsageError(
                f"spec.data.prompts: cannot read {path}: {error.strerror}; "
                "allowed: a readable JSON Lines file"
            ) from error
        index = LineIndex.open(path, index_directory)
        if not index.lines:
            raise UsageError(f"spec.data.prompts: {path} is empty; allowed: at least one line")
        return index

    def _preflight(self, path: Path) -> None:
        blank: int | None = None
        number = offset = 0
        with path.open("rb") as file:
            while offset < PREFLIGHT_BYTES and (line := file.readline(LONGEST_LINE + 1)):
                if len(line) > LONGEST_LINE:
                    raise too_long_line(path, number)
                if not line.strip():
                    blank = number if blank is None else blank
                elif blank is not None:
                    raise empty_line(path, blank)
                else:
                    where = f"{path}:{number + 1}"
                    record = self._parse(line, where)
                    if number < _PREFLIGHT_PROMPTS:
                        self._encoder.encode(record, where)
                number += 1
                offset += len(line)

    def _parse(self, line: bytes, where: str) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except RecursionError as error:
            raise UsageError(
                f"{where}: found JSON nested too deeply; allowed: one JSON object a line"
            ) from error
        except ValueError as error:
            raise UsageError(
                f"{where}: found invalid JSON ({error}); allowed: one JSON object a line"
            ) from error
        if not isinstance(record, dict):
            raise UsageError(
                f"{where}: found a JSON {type(record).__name__}; allowed: one JSON object a line"
            )
        self._encoder.check(record, where)
        return record


class JsonlSource(PromptSource):
    """All prompts of JSON Lines files, epoch after epoch.

    The cursor is the pair (epoch, position): a resumed run continues with exactly the next prompt.
    """

    def __init__(
        self,
        spec: DataSpec,
        paths: Sequence[str],
        tokenizer: PromptTokenizer,
        seed: int,
        index_directory: Path,
        *,
        rewards: Sequence[RewardSpec],
        answers: Answers | None = None,
        workers: int = 0,
    ) -> None:
        """Opens the files, with the errors of `JsonlPrompts`; `workers` processes read ahead."""
        super().__init__(spec)
        prompts = JsonlPrompts(
            spec, paths, tokenizer, seed, index_directory, rewards=rewards, answers=answers
        )
        self.files = prompts.checksums
        self._allow_changed = spec.allow_changed
        self.prompts = self.patience = self._size = len(prompts)
        self._number = 0  # of the next prompt, over all epochs
        self._ahead = ReadAhead(prompts.at, workers) if workers else None
        self._at = self._ahead.get if self._ahead else prompts.at

    def save(self) -> dict[str, Any]:
        """The cursor, for a checkpoint."""
        epoch, position = divmod(self._number, self._size)
        return {
            "epoch": epoch,
            "position": position,
            "skipped": self.skipped,
            "prompts": self._size,
            "files": self.files,
            **self.bad_share.save(),
        }

    def load(self, cursor: dict[str, Any]) -> None:
        """Continues from a cursor.

        Raises:
            UsageError: the number of prompts has changed since the cursor was saved, or their
                content has and `spec.data.allowChanged` is not set.
        """
        if cursor["prompts"] != self._size:
            raise UsageError(
                f"spec.data.prompts: found {self._size} prompts, but the checkpoint was made with "
                f"{cursor['prompts']}; allowed: the same data, or another run directory"
            )
        self._check_content(cursor["files"])
        self._number = cursor["epoch"] * self._size + cursor["position"]
        self.skipped = cursor["skipped"]
        self.bad_share.load(cursor)

    def _check_content(self, before: dict[str, str]) -> None:
        """Checks that the files are the same, because prompts are identified by line numbers."""
        # Files may have been moved: only content counts.
        changed = [
            path
            for (path, checksum), old in zip(self.files.items(), before.values(), strict=False)
            if checksum != old
        ]
        if not changed and len(before) == len(self.files):
            return
        if not self._allow_changed:
            raise UsageError(
                f"spec.data.prompts: {', '.join(changed) or 'the list of files'} is not what the "
                "checkpoint was made with, although the number of prompts is the same; allowed: "
                "the same content, another run directory, or spec.data.allowChanged: true"
            )
        log.warning("data.changed", files=changed)

    def close(self) -> None:
        """Ends the processes that read ahead."""
        if self._ahead is not None:
            self._ahead.close()

    def _take(self, count: int) -> Iterator[tuple[PromptRef, Drawn]]:
        for _ in range(count):
            taken = self._at(self._number)
            self._number += 1
            yield taken
