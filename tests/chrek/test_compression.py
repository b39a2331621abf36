"""How people write how memory is compressed."""

import pytest

from chrek.compression import Compression, parse
from chrek.errors import UsageError


def test_what_is_understood() -> None:
    assert parse("") is parse("none") is None
    assert parse("zstd", 4) == Compression("zstd", 1, 4)
    assert parse("zstd:22") == Compression("zstd", 22)
    assert parse("lz4") == Compression("lz4", 0)
    assert parse("lz4:12") == Compression("lz4", 12)


BAD = [
    "gzip",
    "zstd:",
    "zstd:0",
    "zstd:23",
    "zstd:-1",
    "lz4:13",
    "lz4:1.5",
    "none:1",
    "ZSTD",
    "zstd:٣",
]


@pytest.mark.parametrize("text", BAD)
def test_the_rest_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


def test_a_level_of_many_digits_is_refused() -> None:
    with pytest.raises(UsageError):
        parse("zstd:" + "9" * 5000)
