"""A program that builds and runs images: buildah or docker, whichever is there."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_BUILD_SECONDS = 3600  # torch and SGLang are downloaded, if they are in no cache
_RUN_SECONDS = 300
_LAST_CHARACTERS = 3000


@dataclass(frozen=True)
class Image:
    """What an image says of itself.

    Args:
        user: user and group of its processes.
        environment: its variables.
        labels: its labels.
        layers: hash of each layer's content, from the bottom.
        megabytes: of 10**6 bytes, without compression.
    """

    user: str
    environment: dict[str, str]
    labels: dict[str, str]
    layers: tuple[str, ...]
    megabytes: float


class Tool(Protocol):
    """What the tests need of buildah or docker."""

    def has(self, name: str) -> bool:
        """Whether the image is on this machine, or can be pulled."""

    def add(self, tar: Path, name: str) -> None:
        """Makes an image of one layer."""

    def build(
        self, dockerfile: str, name: str, arguments: Mapping[str, str], context: Path
    ) -> None:
        """Builds an image; what has not changed is taken from the last time."""

    def image(self, name: str) -> Image:
        """What the image says of itself."""

    def run(self, name: str, *command: str, user: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in an image like a pod does.

        The root file system is read-only but for /tmp, there is no network, and nobody is root.
        """


def tool() -> Tool:
    """RuntimeError where there is none."""
    from tests.images.buildah import Buildah
    from tests.images.docker import Docker

    if shutil.which("docker") and _succeeds("docker", "info"):
        return Docker()
    if shutil.which("buildah"):
        return Buildah()
    raise RuntimeError("images: found neither buildah nor docker with its daemon; install one")


def output(*command: str | Path, context: Path | None = None) -> str:
    """What a command prints; RuntimeError with its last lines if it fails."""
    result = subprocess.run(
        command, cwd=context, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False
    )
    if result.returncode != 0:
        said = (result.stdout + result.stderr)[-_LAST_CHARACTERS:]
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {result.returncode}:\n{said}")
    return result.stdout


def attempt(*command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command that may fail, with all that it prints in one stream."""
    return subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_RUN_SECONDS,
        check=False,
    )


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def variables(pairs: list[str]) -> dict[str, str]:
    """A table of what an image writes as NAME=value."""
    return dict(pair.split("=", 1) for pair in pairs)
