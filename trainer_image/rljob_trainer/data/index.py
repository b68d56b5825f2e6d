"""An index of where the lines of a file begin, kept on disk."""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from rljob.errors import UsageError

log = structlog.get_logger()

LONGEST_LINE = 64 * 2**20  # bytes; a longer one is no prompt, and would have to fit into memory

_MAGIC = b"rljobix2"
# Magic; the file's size and time; lines; checksum of the content; checksum of the index.
_HEADER = struct.Struct("<8sQqQII")
_COUNTS = struct.Struct("<QI")
_OFFSET = np.dtype("<i8")
_CHUNK = 2**20  # bytes read at a time
_PROGRESS = 2**30  # bytes between two log lines
_WHITESPACE = np.isin(np.arange(256), list(b" \t\n\r\x0b\x0c"))


@dataclass(frozen=True)
class LineIndex:
    """Random access to the lines of a JSON Lines file, without holding anything in memory.

    Offsets are read rather than memory-mapped: mapped pages count as this process's memory, and if
    the index were truncated while it is mapped, the process would die without a message.
    """

    path: Path
    file: Path  # the index: a header, then the offset of every line and that of their end
    lines: int
    checksum: str  # of the file's content

    @classmethod
    def open(cls, path: Path, directory: Path) -> "LineIndex":
        """Opens the index of `path` in `directory`, building it if missing or out of date.

        Raises:
            OSError: the file can't be read, or the index can't be written.
            UsageError: a line is empty or far too long.
        """
        name = blake2b(os.fsencode(path.absolute()), digest_size=12).hexdigest()
        file = directory / f"{name}.lines"
        stat = path.stat()
        found = _read_header(file, stat)
        if found is None:
            directory.mkdir(parents=True, exist_ok=True)
            found = _build(path, file, stat)
        lines, content = found
        return cls(path, file, lines, f"{stat.st_size} bytes, crc32 {content:08x}")

    def read(self, first: int, count: int) -> list[bytes]:
        """The `count` lines from number `first` on, counted from 0."""
        with self.file.open("rb") as file:
            file.seek(_HEADER.size + first * _OFFSET.itemsize)
            raw = file.read((count + 1) * _OFFSET.itemsize)
        offsets = np.frombuffer(raw, _OFFSET).tolist()
        begin = offsets[0]
        with self.path.open("rb") as file:
            file.seek(begin)
            data = file.read(offsets[-1] - begin)
        return [data[start - begin : end - begin] for start, end in pairwise(offsets)]


def _read_header(file: Path, stat: os.stat_result) -> tuple[int, int] | None:
    """Number of lines and content checksum; None if the index is damaged or out of date."""
    try:
        with file.open("rb") as opened:
            header = opened.read(_HEADER.size)
            if len(header) < _HEADER.size:
                return None
            magic, size, time, lines, content, stated = _HEADER.unpack(header)
            if (magic, size, time) != (_MAGIC, stat.st_size, stat.st_mtime_ns):
                return None
            checksum = zlib.crc32(_COUNTS.pack(lines, content))
            while chunk := opened.read(_CHUNK):
                checksum = zlib.crc32(chunk, checksum)
            whole = opened.tell() == _HEADER.size + (lines + 1) * _OFFSET.itemsize
    except OSError:
        return None
    return (int(lines), int(content)) if whole and checksum == stated else None


def _build(path: Path, file: Path, stat: os.stat_result) -> tuple[int, int]:
    partial = file.with_suffix(".partial")
    count = 0
    content = _Checksum()
    with partial.open("w+b") as written:
        written.write(bytes(_HEADER.size))
        for offsets in _offsets(path, stat.st_size, content):
            raw = offsets.astype(_OFFSET).tobytes()
            count += len(offsets)
            written.write(raw)
        lines = count - 1  # the last offset is that of the end
        checksum = zlib.crc32(_COUNTS.pack(lines, content.value))
        written.seek(_HEADER.size)
        while chunk := written.read(_CHUNK):
            checksum = zlib.crc32(chunk, checksum)
        written.seek(0)
        header = stat.st_size, stat.st_mtime_ns, lines, content.value, checksum
        written.write(_HEADER.pack(_MAGIC, *header))
    partial.replace(file)
    return lines, content.value


class _Checksum:
    """A CRC-32 of all data added."""

    def __init__(self) -> None:
        self.value = 0

    def add(self, data: bytes) -> None:
        self.value = zlib.crc32(data, self.value)


def _offsets(path: Path, size: int, checksum: _Checksum) -> Iterator[npt.NDArray[np.int64]]:
    """Offsets of all lines, and finally the end of the last one.

    Blank lines at the end of the file are ignored. The content is also added to `checksum`.
    """
    blank: int | None = None  # number of the first blank line
    end = number = 0
    for offset, data in _whole_lines(path, size):
        checksum.add(data)
        if blank is not None:
            if data.strip():
                raise empty_line(path, blank)
            continue
        content = np.frombuffer(data, np.uint8)
        ends = np.flatnonzero(content == ord("\n")) + 1
        if not data.endswith(b"\n"):
            ends = np.append(ends, len(data))
        starts = np.concatenate(([0], ends[:-1]))
        # A line that begins with something other than white space is not blank.
        for n in np.flatnonzero(_WHITESPACE[content[starts]]).tolist():
            if not data[starts[n] : ends[n]].strip():
                blank = number + n
                if data[ends[n] :].strip():
                    raise empty_line(path, blank)
                starts, ends = starts[:n], ends[:n]
                break
        if len(starts):
            end = offset + int(ends[-1])
            yield starts + offset
        number += len(starts)
    yield np.array([end])


def _whole_lines(path: Path, size: int) -> Iterator[tuple[int, bytes]]:
    """Reads the file in pieces of whole lines, each with its offset."""
    offset, told, number, rest = 0, 0, 0, b""
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            data = rest + chunk
            cut = data.rfind(b"\n") + 1
            if cut:
                yield offset, data[:cut]
            number += data.count(b"\n", 0, cut)
            rest = data[cut:]
            offset += cut
            if len(rest) > LONGEST_LINE:
                raise too_long_line(path, number)
            if offset - told >= _PROGRESS:
                told = offset
                log.info("data.indexing", path=str(path), gigabytes=_giga(offset), of=_giga(size))
    if rest:
        yield offset, rest


def empty_line(path: Path, number: int) -> UsageError:
    """The error for an empty line `number` (from 0) that another line follows."""
    return UsageError(f"{path}:{number + 1}: found an empty line; allowed: one JSON object a line")


def too_long_line(path: Path, number: int) -> UsageError:
    """The error for line `number` (from 0)."""
    return UsageError(
        f"{path}:{number + 1}: found a line of more than {LONGEST_LINE // 2**20} MiB; allowed: one "
        "JSON object a line"
    )


def _giga(size: int) -> float:
    return round(size / 1e9, 1)
