"""Numbers of bytes as Kubernetes writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chrek.errors import UsageError
from chrek.quantities import byte_count


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0", 0),
        ("1", 1),
        ("500M", 500_000_000),
        ("1k", 1000),
        ("1Ki", 1024),
        ("2Gi", 2 << 30),
        ("1.5Ti", 3 << 39),
        ("0.1Ki", 103),
        ("0.5", 1),
        ("8Ei", 8 << 60),
        ("007", 7),
    ],
)
def test_it_is_what_kubernetes_takes_it_for(text: str, meant: int) -> None:
    assert byte_count(text) == meant


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "-1", "+1", "1.", ".5", "1e3", "1E3", "1m", "1K", "1KI", "1gi", "2GiB",
     "1,5Gi", "٣", "1\n", "nan", "1" * 20, "1." + "0" * 10],
)  # fmt: skip
def test_what_is_no_number_of_bytes_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a number of bytes"):
        byte_count(text)


@given(st.integers(0, 2**60), st.sampled_from(["Ki", "Mi", "Gi"]))
def test_whole_numbers_are_exact(number: int, suffix: str) -> None:
    factor = 1024 ** ("", "Ki", "Mi", "Gi").index(suffix)
    assert byte_count(f"{number}{suffix}") == number * factor
