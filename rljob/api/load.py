"""Manifests from files: the jobs, or every mistake in every document at once."""

from collections.abc import Callable, Sequence
from pathlib import Path as FilePath

from rljob.api.caution import cautions
from rljob.api.document import Document, read
from rljob.api.problem import Problem, show
from rljob.api.review import judge
from rljob.api.rljob import KIND, RLJob
from rljob.errors import UsageError

Check = Callable[[RLJob], list[Problem]]  # takes a valid job


def load(file: FilePath) -> tuple[list[RLJob], list[Problem]]:
    """The jobs of a YAML file and its problems, in line order.

    Never raises because of the file or its content. A document with a problem gives no job.
    """
    jobs, problems, _ = load_with_warnings(file)
    return jobs, problems


def load_with_warnings(
    file: FilePath, checks: Sequence[Check] = (), cautious: Sequence[Check] = ()
) -> tuple[list[RLJob], list[Problem], list[Problem]]:
    """Like `load`, with the warnings about the jobs.

    Args:
        file: a YAML file.
        checks: further checks, which return problems.
        cautious: further checks, which return warnings about a job without problems.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        return [], [Problem((), message=f"cannot be read: {error.strerror}", file=str(file))], []
    except UnicodeDecodeError as error:
        message = f"found a byte that is not UTF-8 at offset {error.start}, allowed UTF-8 text"
        return [], [Problem((), message=message, file=str(file))], []
    return _loads(text, file, checks, (cautions, *cautious))


def loads(text: str, file: FilePath) -> tuple[list[RLJob], list[Problem]]:
    """Like `load`, for a text in place of `file`; relative paths start at the file's directory."""
    jobs, problems, _ = _loads(text, file)
    return jobs, problems


def _loads(
    text: str, file: FilePath, checks: Sequence[Check] = (), cautious: Sequence[Check] = ()
) -> tuple[list[RLJob], list[Problem], list[Problem]]:
    jobs: list[RLJob] = []
    problems: list[Problem] = []
    warnings: list[Problem] = []
    empty = True
    for document in read(text):
        empty = False
        job, found = _job(document, file.parent)
        if job is not None and any(other.key == job.key for other in jobs):
            found.append(
                Problem(("metadata", "name"), show(job.metadata.name), "each once per namespace")
            )
        if job is not None and not found:
            found = [document.given(problem) for check in checks for problem in check(job)]
        if found:
            problems += _placed(document, found, file)
        elif job is not None:
            jobs.append(job)
            warnings += _placed(document, [each for warn in cautious for each in warn(job)], file)
    if empty:
        problems.append(Problem((), message=f"is empty, allowed an {KIND}", file=str(file)))
    return jobs, problems, warnings


def _placed(document: Document, found: list[Problem], file: FilePath) -> list[Problem]:
    """The problems with their positions in the file, in line order."""
    placed = [document.place(problem, str(file)) for problem in found]
    return sorted(placed, key=lambda problem: (problem.line, problem.column))


def load_job(file: FilePath, checks: Sequence[Check] = ()) -> RLJob:
    """The job of a file with only one.

    Args:
        file: a YAML file.
        checks: further checks, which return problems.

    Raises:
        UsageError: lists all problems, one per line; or the file holds several jobs.
    """
    jobs, problems, _ = load_with_warnings(file, checks)
    if problems:
        raise UsageError("\n".join(str(problem) for problem in problems))
    if len(jobs) > 1:
        raise UsageError(f"{file}: found {len(jobs)} {KIND}s, allowed 1")
    return jobs[0]


def _job(document: Document, directory: FilePath) -> tuple[RLJob | None, list[Problem]]:
    value = document.value
    if not isinstance(value, dict):
        return None, document.problems or [Problem((), show(value), f"a mapping, an {KIND}")]
    job, problems = judge(value, {problem.path for problem in document.problems}, directory)
    if job is None:
        return None, problems
    problems = [document.given(problem) for problem in problems] + document.problems
    return (None if problems else job), problems
