"""YAML documents as plain values that know their lines and columns."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rljob.api.depth import DEEPEST, PART, TOO_DEEP
from rljob.api.dialect import other_reading
from rljob.api.problem import NOTHING, Path, Problem, show

MOST_VALUES = 100_000  # aliases can make a short text grow without bound
LARGEST_INT = 2**63  # what Kubernetes can store
TAG = "tag:yaml.org,2002:"
MERGE_KEY = "<<"
# What a value with a tag must be, e.g. `!!int 8`.
TAGGED = {"bool": "true or false", "int": "a whole number", "float": "a number"}


@dataclass(frozen=True)
class Mark:
    """A place in a file, both counted from 1."""

    line: int
    column: int


@dataclass
class Document:
    """One YAML document: its value, and the position of each key and list item."""

    value: Any = None
    marks: dict[Path, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def mark(self, path: Path) -> Mark:
        """The position of `path`, or of its nearest parent that exists."""
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path, Mark(1, 1))

    def place(self, problem: Problem, file: str) -> Problem:
        """The problem with its position in the file, found by its path unless it has one."""
        mark = Mark(problem.line, problem.column) if problem.line else self.mark(problem.path)
        return problem.at(file, mark.line, mark.column)

    def given(self, problem: Problem) -> Problem:
        """A rule's problem, worded as one of the default if the document does not set the field."""
        if problem.path in self.marks or problem.found == NOTHING:
            return problem
        return replace(problem, found=f"{problem.found}, the default")


class TooLargeError(Exception):
    """The document holds more values than any manifest can need."""


def read(text: str) -> Iterator[Document]:
    """The documents of a YAML text, up to the first syntax error; empty ones are left out.

    Never raises because of the content: every mistake is among the `problems` of a document.
    """
    yaml = YAML(typ="safe", pure=True)
    # YAML allows an anchor to be redefined; the later one holds from there.
    yaml.composer.warn_double_anchors = False
    try:
        for node in yaml.compose_all(text):
            document = _Converter(yaml.constructor).document(node)
            if document.value is not None or document.problems:
                yield document
    except YAMLError as error:
        yield Document(problems=[_syntax_problem(error, text)])
    except RecursionError:
        yield Document(problems=[Problem((), message="the values are nested too deeply")])


def _syntax_problem(error: YAMLError, text: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        # The reader reports only a character offset.
        position = int(getattr(error, "position", 0) or 0)
        line, column = text.count("\n", 0, position), position - text.rfind("\n", 0, position) - 1
        return Problem((), message="found a control character", line=line + 1, column=column + 1)
    message = f"not YAML: {_said(error)}"
    return Problem((), message=message, line=mark.line + 1, column=mark.column + 1)


def _said(error: YAMLError) -> str:
    """The parser's message, with its context if that begins on an earlier line."""
    if not isinstance(error, MarkedYAMLError):
        return str(error)
    said = str(error.problem)
    if "\\t" in said:
        return "found a tab, allowed spaces for indentation"
    began, mark = error.context_mark, error.problem_mark
    if error.context and began is not None and mark is not None and began.line < mark.line:
        said += f" ({error.context} that begins on line {began.line + 1})"
    return said


class _Converter:
    """Turns a graph of YAML nodes into dicts, lists and scalars, collecting every mistake."""

    def __init__(self, constructor: SafeConstructor) -> None:
        self._constructor = constructor
        self._document = Document()
        self._open: set[int] = set()  # nodes being converted: an alias to one is a cycle
        self._values = 0

    def document(self, node: Node) -> Document:
        self._mark((), node)
        try:
            self._document.value = self._value(node, ())
        except TooLargeError:
            message = f"more than {MOST_VALUES} values, with aliases expanded"
            self._complain((), node, message)
        return self._document

    def _value(self, node: Node, path: Path) -> Any:
        self._values += 1
        if self._values > MOST_VALUES:
            raise TooLargeError
        if id(node) in self._open:
            self._complain(path, node, "an alias to a value that contains it")
            return None
        if len(path) > DEEPEST:
            self._complain(path[:PART], node, TOO_DEEP)
            return None
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        self._open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return self._list(node, path)
            return self._mapping(node, path) if isinstance(node, MappingNode) else None
        finally:
            self._open.discard(id(node))

    def _list(self, node: SequenceNode, path: Path) -> list[Any] | None:
        if node.tag != TAG + "seq":
            self._complain(path, node, f"found the tag {node.tag}, allowed plain values")
            return None
        for index, item in enumerate(node.value):
            self._mark((*path, index), item)
        return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any] | None:
        if node.tag != TAG + "map":
            self._complain(path, node, f"found the tag {node.tag}, allowed plain values")
            return None
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if getattr(key_node, "tag", "") == TAG + "merge":
                merged = {**self._merge(value_node, path), **merged}
                continue
            key = self._key(key_node, path)
            if key is None:
                continue
            here = (*path, key)
            if key in own:
                first = self._document.marks[here].line
                self._complain(here, key_node, f"the key is given twice, first on line {first}")
                continue
            self._mark(here, key_node)
            own[key] = self._value(value_node, here)
        return {**merged, **own}

    def _merge(self, node: Node, path: Path) -> dict[str, Any]:
        """The mappings of a merge key; an earlier one wins."""
        sources = node.value if isinstance(node, SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for source in sources:
            if isinstance(source, MappingNode):
                merged = {**(self._value(source, path) or {}), **merged}
            else:
                message = f"found no mapping after {MERGE_KEY}, allowed an alias to a mapping"
                self._complain(path, source, message)
        return merged

    def _key(self, node: Node, path: Path) -> str | None:
        if isinstance(node, ScalarNode) and node.tag == TAG + "str":
            self._compare(node, (*path, str(node.value)))
            return str(node.value)
        if isinstance(node, ScalarNode):
            message = f"found the key {node.value}, allowed a string (put it in quotes)"
            self._complain((*path, str(node.value)), node, message)
        else:
            self._complain(path, node, "found a collection as a key, allowed a string")
        return None

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        # JSON, and so Kubernetes, has no dates: they stay strings.
        makers: dict[str, Callable[[Any], Any]] = {
            "null": self._constructor.construct_yaml_null,
            "bool": self._constructor.construct_yaml_bool,
            "int": self._constructor.construct_yaml_int,
            "float": self._constructor.construct_yaml_float,
            "str": self._constructor.construct_scalar,
            "timestamp": self._constructor.construct_scalar,
        }
        name = str(node.tag).removeprefix(TAG)
        if name not in makers:
            self._complain(path, node, f"found the tag {node.tag}, allowed plain values")
            return None
        if self._compare(node, path):
            return None
        try:
            value = makers[name](node)
        except (ValueError, KeyError, OverflowError, IndexError):
            self._complain(path, node, f"found {show(node.value)}, allowed {TAGGED[name]}")
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self._complain(path, node, f"found {node.value}, allowed a finite number")
            return None
        if isinstance(value, int) and not -LARGEST_INT <= value < LARGEST_INT:
            self._complain(path, node, "found a number beyond 64 bits")
            return None
        return value

    def _compare(self, node: ScalarNode, path: Path) -> bool:
        """Complain of a scalar that Kubernetes would read differently; returns whether it does."""
        text = str(node.value)
        read = None if node.style else other_reading(text)
        if read is not None:
            self._complain(
                path,
                node,
                f'found {text}, allowed {read} or "{text}" (Kubernetes reads {text} as {read})',
            )
        return read is not None

    def _mark(self, path: Path, node: Node) -> None:
        # A merged key keeps its first position.
        mark = node.start_mark
        self._document.marks.setdefault(path, Mark(mark.line + 1, mark.column + 1))

    def _complain(self, path: Path, node: Node, message: str) -> None:
        mark = node.start_mark
        self._document.problems.append(
            Problem(path, message=message, line=mark.line + 1, column=mark.column + 1)
        )
