"""Merge patches: their effect on a document, by RFC 7386 itself."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rljob_operator.merge_patch import merge_patch

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.sampled_from("abc"), VALUES)


def patched(target: Any, patch: Any) -> Any:
    """MergePatch(Target, Patch) of RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = patched(result.get(name), value)
    return result


def without_null(value: Any) -> Any:
    """As it is stored: a null in an object is a value that is not there."""
    if isinstance(value, dict):
        return {name: without_null(each) for name, each in value.items() if each is not None}
    return value


@given(DOCUMENTS, DOCUMENTS)
def test_it_leads_from_one_to_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    before = without_null(before)
    assert patched(before, merge_patch(before, after)) == without_null(after)


@given(DOCUMENTS)
def test_nothing_is_written_where_nothing_changes(document: dict[str, Any]) -> None:
    document = without_null(document)
    assert merge_patch(document, document) == {}


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"b": 3}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1}}, {"a": {"y": None}}),
        ({"a": [1, 2]}, {"a": [1]}, {"a": [1]}),
        ({"a": {"x": 1}}, {}, {"a": None}),
        ({}, {"a": {}}, {"a": {}}),
        ({"a": 1}, {"a": None}, {"a": None}),
    ],
)
def test_no_more_is_written_than_changes(
    before: dict[str, Any], after: dict[str, Any], patch: dict[str, Any]
) -> None:
    assert merge_patch(before, after) == patch
