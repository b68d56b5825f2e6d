"""The index of lines: its contents, when it is rebuilt, and the memory that it needs."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rljob.errors import UsageError
from rljob_trainer.data import index
from rljob_trainer.data.index import LineIndex


def lines_of(path: Path, directory: Path) -> list[bytes]:
    opened = LineIndex.open(path, directory)
    return opened.read(0, opened.lines)


@given(
    lines=st.lists(st.integers(0, 60).map(lambda n: b" {" + b"x" * n), max_size=30),
    end=st.sampled_from([b"", b"\n", b"\n\n \n", b"\n" * 50]),
    chunk=st.integers(1, 90),
)
@example(lines=[], end=b"\n\n", chunk=1)
def test_lines_are_those_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], end: bytes, chunk: int
) -> None:
    """However the pieces fall in which the file is read; empty lines at its end do not count."""
    directory = tmp_path_factory.mktemp("index")
    path = directory / "a.jsonl"
    path.write_bytes(b"\n".join(lines) + end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "_CHUNK", chunk)
        assert [line.rstrip(b"\n") for line in lines_of(path, directory)] == lines


@given(before=st.integers(0, 9), blanks=st.integers(1, 9), chunk=st.integers(1, 40))
def test_empty_line_between_others(
    tmp_path_factory: pytest.TempPathFactory, before: int, blanks: int, chunk: int
) -> None:
    directory = tmp_path_factory.mktemp("index")
    path = directory / "a.jsonl"
    path.write_bytes(b"{}\n" * before + b" \n" * blanks + b"{}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "_CHUNK", chunk)
        with pytest.raises(UsageError, match=rf"a\.jsonl:{before + 1}: found an empty line"):
            LineIndex.open(path, directory)
    assert list(directory.glob("*.lines")) == []


def test_line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "LONGEST_LINE", 2**20)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}\n" + b"x" * 3 * 2**20)
    with pytest.raises(UsageError, match=r"a\.jsonl:2: found a line of more than 1 MiB"):
        LineIndex.open(path, tmp_path)


def test_any_lines_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [b"%d\n" % n for n in range(5000)]
    path.write_bytes(b"".join(lines))
    opened = LineIndex.open(path, tmp_path)
    assert opened.lines == 5000
    assert opened.read(0, 1) == [b"0\n"]
    assert opened.read(4999, 1) == [b"4999\n"]
    assert opened.read(998, 5) == lines[998:1003]


def made_again(path: Path, directory: Path) -> bool:
    """Whether the index is written anew; opening it must work out either way."""
    (before,) = directory.glob("*.lines")
    os.utime(before, ns=(0, 0))
    lines = path.read_bytes().splitlines(keepends=True)
    assert lines_of(path, directory) == lines
    (after,) = directory.glob("*.lines")
    return after.stat().st_mtime_ns != 0


@pytest.fixture
def indexed(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}\n" * 100)
    LineIndex.open(path, tmp_path / "index")
    return path


def test_index_is_used_again(indexed: Path, tmp_path: Path) -> None:
    assert not made_again(indexed, tmp_path / "index")


def test_index_of_a_file_of_another_size_or_time_is_not(indexed: Path, tmp_path: Path) -> None:
    indexed.write_bytes(b"{}\n" * 101)
    assert made_again(indexed, tmp_path / "index")
    stat = indexed.stat()
    indexed.write_bytes(b"[]\n" * 100 + b"1 \n")
    os.utime(indexed, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert made_again(indexed, tmp_path / "index")


def test_damaged_index_is_not(indexed: Path, tmp_path: Path) -> None:
    directory = tmp_path / "index"
    (file,) = directory.glob("*.lines")
    whole = file.read_bytes()
    chance = random.Random(1)
    for _ in range(200):
        place = chance.randrange(len(whole))
        changed = bytearray(whole)
        changed[place] ^= 1 << chance.randrange(8)
        file.write_bytes(changed)
        assert made_again(indexed, directory)
    for length in (0, 3, 39, 40, 41, len(whole) - 8, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert made_again(indexed, directory)
    file.write_bytes(whole + b"\0" * 8)
    assert made_again(indexed, directory)


def test_index_that_was_cut_off_while_it_was_written(indexed: Path, tmp_path: Path) -> None:
    directory = tmp_path / "index"
    (file,) = directory.glob("*.lines")
    file.rename(file.with_suffix(".partial"))
    assert lines_of(indexed, directory) == [b"{}\n"] * 100
    assert [each.suffix for each in directory.iterdir()] == [".lines"]


def test_files_of_the_same_name_have_an_index_each(tmp_path: Path) -> None:
    for name, content in (("a", b"1\n"), ("b", b"2\n3\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.jsonl").write_bytes(content)
    for _ in range(2):
        assert lines_of(tmp_path / "a" / "train.jsonl", tmp_path) == [b"1\n"]
        assert lines_of(tmp_path / "b" / "train.jsonl", tmp_path) == [b"2\n", b"3\n"]


GROWTH = """
import random, resource, sys
from pathlib import Path
from rljob_trainer.data.index import LineIndex
from rljob_trainer.data.order import Order

def peak():
    # Of this program alone: ru_maxrss begins with that of the process that started it.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])

path, directory = map(Path, sys.argv[1:])
small = directory / "small"
small.write_bytes(b"{}\\n" * 10)
Order(10, None, 0, 0).place(LineIndex.open(small, directory).lines - 1)
before = peak()
for _ in range(2):  # made, then found
    index = LineIndex.open(path, directory)
order = Order(index.lines, None, 1, 0)
for position in range(20_000):
    line = order.place(position).line
    assert index.read(line, 1) == [b'{"n": %07d}\\n' % line]
print(peak() - before, index.lines)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Four million lines: their offsets alone are 32 MB, and so would be a table of their order."""
    lines = 4_000_000
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        for begin in range(0, lines, 100_000):
            file.write(b"".join(b'{"n": %07d}\n' % n for n in range(begin, begin + 100_000)))
    command = [sys.executable, "-c", GROWTH, str(path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kibibytes, found = map(int, done.stdout.split())
    assert found == lines
    assert kibibytes < 12 * 1024
