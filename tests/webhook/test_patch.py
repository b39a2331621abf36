"""A patch gives exactly the document that it was made for: a wrong one would reject the pod."""

import json
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.admission.patch import between

from ..pods.making import few, text

keys = text | st.sampled_from(["", "/", "~", "~1", "~0", "a/b", "chrek.io/role", "-", "0"])
scalars = st.none() | st.booleans() | st.integers(-2, 2) | text
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner), max_leaves=12
)


@st.composite
def edited(draw: st.DrawFn, old: Any) -> Any:
    """Another document, of which what was not edited is the very same object."""
    what = draw(st.sampled_from(["keep", "replace", "edit", "edit", "edit"]))
    if what == "keep":
        return old
    if what == "replace" or not isinstance(old, dict | list):
        return draw(documents)
    if isinstance(old, dict):
        kept = {key: value for key, value in old.items() if draw(st.integers(0, 4))}
        inner = {key: draw(edited(value)) for key, value in kept.items()}
        return inner | draw(st.dictionaries(keys, documents, max_size=2))
    listed = [draw(edited(entry)) for entry in old if draw(st.integers(0, 4))]
    at = draw(st.integers(0, len(listed)))
    return [*listed[:at], *draw(st.lists(documents, max_size=2)), *listed[at:]]


def exactly(value: Any) -> str:
    """True is not 1 here."""
    return json.dumps(value, sort_keys=True)


def holds(old: Any, new: Any) -> list[dict[str, Any]]:
    """The patch between them, once it has been applied as it would be sent."""
    before = exactly(old), exactly(new)
    operations = between(old, new)
    assert (exactly(old), exactly(new)) == before
    sent: list[dict[str, Any]] = json.loads(json.dumps(operations))
    assert exactly(jsonpatch.apply_patch(json.loads(before[0]), sent)) == before[1]
    return sent


@few
@given(documents, documents)
def test_any_document_becomes_any_other(old: Any, new: Any) -> None:
    holds(old, new)


@few
@given(st.data(), documents)
def test_a_document_becomes_what_it_was_edited_to(data: st.DataObject, old: Any) -> None:
    holds(old, data.draw(edited(old)))


@few
@given(documents)
def test_a_document_that_is_the_same_needs_no_patch(old: Any) -> None:
    assert between(old, json.loads(json.dumps(old))) == []


@few
@given(st.lists(documents, max_size=4), st.lists(documents, min_size=1, max_size=3), st.data())
def test_a_list_that_grew_in_one_place_is_not_sent_again(
    old: list[Any], more: list[Any], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(old)))
    operations = holds({"a": old}, {"a": [*old[:at], *more, *old[at:]]})
    assert [one["op"] for one in operations] == ["add"] * len(more)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"a": 1}, {"a": True}), ({"a": [0]}, {"a": [False]}), ({"a": [1, 2]}, {"a": [True]}),
        ({"a": None}, {"a": []}), ({"a": None}, {}), ({}, {"a": None}), ([], {}), ({"": 1}, {}),
        ([1, 1, 2], [1, 2]), ([1, 2, 3, 4], [4, 3, 2]), ([[1], [1]], [[1]]), ({"a": 1}, None),
        ([{"a": 1}, {"b": 1}, {"c": 1}], [{"c": 1}, {"a": 1}]), ([[], [[]]], [[[]]]),
    ],
    ids=str,
)  # fmt: skip
def test_what_patches_get_wrong_easily(old: Any, new: Any) -> None:
    holds(old, new)


def test_an_entry_that_is_there_twice_is_added_beside_itself() -> None:
    entry = {"name": "x"}
    holds([entry], [entry, entry])
    holds([entry, entry], [entry, {"name": "y"}, entry])
    holds([entry, entry], [entry])
