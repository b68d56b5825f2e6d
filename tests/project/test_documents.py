"""Commands and files that the documents name exist."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from rljob.cli.main import app
from tests.project.metadata import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def commands(program: str) -> Iterator[tuple[Path, list[str]]]:
    """Words behind `program` in every shell block of the documents."""
    for document in DOCUMENTS:
        for block in FENCE.findall(document.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                while words and "=" in words[0]:  # variables before the program
                    words.pop(0)
                if words and Path(words[0]).name == program:
                    yield document, words[1:]


def cases(program: str) -> list[object]:
    return [
        pytest.param(words, id=f"{document.name}: {program} {' '.join(words)}")
        for document, words in commands(program)
    ]


@cache
def make_targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@cache
def help_of(subcommand: str) -> str:
    result = CliRunner().invoke(app, [subcommand, "--help"], terminal_width=200)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("words", cases("make"))
def test_a_make_target_exists(words: list[str]) -> None:
    targets = [word for word in words if "=" not in word and not word.startswith("-")]
    assert set(targets) <= make_targets()


@pytest.mark.parametrize("words", cases("rljob"))
def test_a_command_and_its_options_exist(words: list[str]) -> None:
    subcommand, *rest = words
    if subcommand.startswith("-"):
        return
    options = [word.partition("=")[0] for word in rest if word.startswith("-")]
    shown = re.findall(r"(?<![\w-])--?[a-z][a-z-]*", help_of(subcommand))
    assert set(options) <= set(shown)


@pytest.mark.parametrize("subcommand", sorted(get_command(app).commands))
def test_every_command_is_documented(subcommand: str) -> None:
    assert any(f"rljob {subcommand}" in document.read_text() for document in DOCUMENTS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_linked_files_exist(document: Path) -> None:
    links = LINK.findall(document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []
