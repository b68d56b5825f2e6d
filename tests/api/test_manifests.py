"""Every manifest of the corpus: valid ones give jobs, invalid ones exactly the listed problems.

What a cluster says of them: tests/cluster/test_corpus.py.
"""

from pathlib import Path

import pytest

from rljob.api.load import load, load_job
from rljob.errors import UsageError
from tests.support.corpus import CORPUS, REPOSITORY, Invalid, invalid, valid

INVALID = invalid()


@pytest.fixture(autouse=True)
def _in_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


@pytest.mark.parametrize("name", valid())
def test_valid(name: str) -> None:
    jobs, problems = load(CORPUS / "valid" / name)
    assert [str(problem) for problem in problems] == []
    assert jobs


@pytest.mark.parametrize("manifest", INVALID, ids=lambda manifest: manifest.name)
def test_invalid(manifest: Invalid) -> None:
    file = manifest.path
    _, problems = load(file)
    found = [str(problem).removeprefix(str(file)).lstrip(": ") for problem in problems]
    assert manifest.expected
    assert found == list(manifest.expected)
    assert manifest.server in ("yaml", "schema", "cel", "operator", "file")
    with pytest.raises(UsageError) as raised:
        load_job(file)
    assert str(raised.value) == "\n".join(str(problem) for problem in problems)


def test_corpus_is_there() -> None:
    assert len(INVALID) >= 200
    assert len(valid()) >= 30


@pytest.mark.parametrize("file", sorted(REPOSITORY.glob("examples/*/job*.yaml")), ids=str)
def test_examples(file: Path) -> None:
    assert load(file)[1] == []
