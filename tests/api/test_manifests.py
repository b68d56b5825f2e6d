"""Every manifest of the corpus: the valid give jobs, the invalid exactly the problems they expect.

An invalid manifest ends with its problems, one `# expect: LINE:COLUMN: FIELD: ...` each.
"""

from pathlib import Path

import pytest

from rljob.api.load import load, load_job
from rljob.errors import UsageError

REPOSITORY = Path(__file__).parents[2]
CORPUS = Path("tests/manifests")  # messages name files as given: relative to the repository
VALID = sorted(file.name for file in (REPOSITORY / CORPUS / "valid").glob("*.yaml"))
INVALID = sorted(file.name for file in (REPOSITORY / CORPUS / "invalid").glob("*.yaml"))
EXPECT = "# expect: "


@pytest.fixture(autouse=True)
def _in_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


@pytest.mark.parametrize("name", VALID)
def test_valid(name: str) -> None:
    jobs, problems = load(CORPUS / "valid" / name)
    assert [str(problem) for problem in problems] == []
    assert jobs


@pytest.mark.parametrize("name", INVALID)
def test_invalid(name: str) -> None:
    file = CORPUS / "invalid" / name
    lines = file.read_text().splitlines()
    expected = [line.removeprefix(EXPECT) for line in lines if line.startswith(EXPECT)]
    _, problems = load(file)
    found = [str(problem).removeprefix(str(file)).lstrip(": ") for problem in problems]
    assert expected
    assert found == expected
    with pytest.raises(UsageError) as raised:
        load_job(file)
    assert str(raised.value) == "\n".join(str(problem) for problem in problems)


def test_corpus_is_there() -> None:
    assert len(INVALID) >= 60
    assert len(VALID) >= 15


@pytest.mark.parametrize("file", sorted(REPOSITORY.glob("examples/*/job*.yaml")), ids=str)
def test_examples(file: Path) -> None:
    assert load(file)[1] == []
