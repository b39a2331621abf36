"""Names and numbers that become paths and objects are checked in one place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chrek import ids
from chrek.errors import UsageError


@given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True))
def test_dns_labels_are_taken_as_they_are(text: str) -> None:
    assert ids.checkpoint_id(text) == text
    assert ids.is_label(text)


@pytest.mark.parametrize(
    "text",
    ["", "-", "a-", "-a", "A", "a.b", "a_b", "a/b", "..", "a\n", "\na", "a\0", "é", "²", "a" * 64],
)
def test_anything_else_is_refused_with_advice(text: str) -> None:
    assert not ids.is_label(text)
    with pytest.raises(UsageError, match=r"container name .* is not a DNS label") as caught:
        ids.label(text, "container name")
    assert "1 to 63" in str(caught.value)


def test_an_endless_name_is_not_repeated_in_full() -> None:
    with pytest.raises(UsageError) as caught:
        ids.checkpoint_id("a" * 100_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "yes"),
    [("0123456789abcdef", True), ("0" * 15, False), ("0" * 17, False), ("0" * 15 + "G", False)],
)
def test_a_variant_is_sixteen_hex_characters(text: str, yes: bool) -> None:
    assert ids.is_variant(text) is yes
    assert not ids.is_variant(text + "\n")
