"""A version of the weights as a directory.

A full version is a Hugging Face checkpoint. A delta version has, for each file of that checkpoint,
the delta from the same file of its base version, which is a sibling directory. In both,
version.json has the sizes and checksums of the resulting files.
"""

import hashlib
from pathlib import Path

from pydantic import BaseModel

from rljob.weights.delta import DeltaError, decode

_FILE = "version.json"
_DELTA = ".delta"


class DamagedError(Exception):
    """A version is missing or damaged; the message says how."""


class WeightFile(BaseModel):
    """A safetensors file with numbers of one format; its header is a multiple of 8 bytes long."""

    word: int  # bytes per number
    size: int  # in bytes
    sha256: str

    @classmethod
    def of(cls, content: bytes, word: int) -> "WeightFile":
        """Describe a file with this content."""
        return cls(word=word, size=len(content), sha256=hashlib.sha256(content).hexdigest())

    def verify(self, content: bytes, where: Path) -> None:
        """Verify the content of the file `where`.

        Raises:
            DamagedError: the size or the checksum differs.
        """
        if len(content) != self.size:
            raise DamagedError(f"{where} has {len(content)} bytes, not {self.size}")
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise DamagedError(f"{where} was changed")


class Version(BaseModel):
    """The content of version.json.

    `base` is the name of the directory of a delta's base version; None: this version is full.
    """

    base: str | None
    files: dict[str, WeightFile]

    @classmethod
    def read(cls, directory: Path) -> "Version":
        """Read the version.json of a directory.

        Raises:
            DamagedError: it is missing or can't be read.
        """
        try:
            return cls.model_validate_json((directory / _FILE).read_bytes())
        except (OSError, ValueError) as error:
            raise DamagedError(f"{directory / _FILE}: {error}") from error

    def write(self, directory: Path) -> None:
        """Write version.json into a directory."""
        (directory / _FILE).write_text(self.model_dump_json(indent=1))


def delta_of(file: Path) -> Path:
    """Path of the delta that leads to a file."""
    return file.with_name(file.name + _DELTA)


def content_of(file: Path) -> bytes:
    """Read a file of a version.

    Raises:
        DamagedError: it can't be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise DamagedError(str(error)) from error


def changed(content: bytes, delta: Path, word: int) -> bytes:
    """Apply one delta to a file's content; the result is not verified yet.

    Raises:
        DamagedError: the delta can't be read or applied.
    """
    try:
        return decode(content, content_of(delta), word)
    except DeltaError as error:
        raise DamagedError(f"{delta}: {error}") from error
