"""A version of the weights as a directory.

A full version is a Hugging Face checkpoint. A delta has, for each of the files that the checkpoint
would have, what leads there from the same file of its base, which lies beside it. Both say in
version.json what the files are in the end.
"""

import hashlib
from pathlib import Path

from pydantic import BaseModel

from rljob.weights.delta import DeltaError, decode

_FILE = "version.json"
_DELTA = ".delta"


class DamagedError(Exception):
    """A version is not as it was written, or not there; says what is wrong."""


class WeightFile(BaseModel):
    """A safetensors file with numbers of one format; its header is a multiple of 8 bytes long."""

    word: int  # bytes of a number
    size: int  # in bytes
    sha256: str

    @classmethod
    def of(cls, content: bytes, word: int) -> "WeightFile":
        """Of a file with this content."""
        return cls(word=word, size=len(content), sha256=hashlib.sha256(content).hexdigest())

    def verify(self, content: bytes, where: Path) -> None:
        """Compares the content of `where`.

        Raises:
            DamagedError: it is another one.
        """
        if len(content) != self.size:
            raise DamagedError(f"{where} has {len(content)} bytes, not {self.size}")
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise DamagedError(f"{where} was changed")


class Version(BaseModel):
    """What version.json says.

    `base` is the name of the directory to which a delta belongs; None: this one is full.
    """

    base: str | None
    files: dict[str, WeightFile]

    @classmethod
    def read(cls, directory: Path) -> "Version":
        """Of a directory.

        Raises:
            DamagedError: there is none.
        """
        try:
            return cls.model_validate_json((directory / _FILE).read_bytes())
        except (OSError, ValueError) as error:
            raise DamagedError(f"{directory / _FILE}: {error}") from error

    def write(self, directory: Path) -> None:
        """Into a directory."""
        (directory / _FILE).write_text(self.model_dump_json(indent=1))


def delta_of(file: Path) -> Path:
    """Where a delta version has what leads to a file."""
    return file.with_name(file.name + _DELTA)


def content_of(file: Path) -> bytes:
    """A file of a version.

    Raises:
        DamagedError: it can't be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise DamagedError(str(error)) from error


def changed(content: bytes, delta: Path, word: int) -> bytes:
    """A file's content after one delta; not compared with anything yet.

    Raises:
        DamagedError: the delta can't be read, or is none.
    """
    try:
        return decode(content, content_of(delta), word)
    except DeltaError as error:
        raise DamagedError(f"{delta}: {error}") from error
