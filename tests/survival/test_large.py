"""More than 4 GiB, where offsets outgrow 32 bits, and 10,000 mappings. The only slow test here."""

from pathlib import Path

import pytest

from tests.survival.lives import Lives

MEBIBYTES = 4608
NEEDED_MEBIBYTES = 3 * MEBIBYTES  # the source, the copy, and the pages on their way


def test_four_gibibytes_and_ten_thousand_mappings(lives: Lives) -> None:
    if available_mebibytes() < NEEDED_MEBIBYTES:
        pytest.skip(f"needs {NEEDED_MEBIBYTES} MiB of memory that nothing else uses")
    source = lives.start("large", "large.py", str(MEBIBYTES))
    before = source.ask()
    assert before["wrong"] == 0
    assert before["mappings"]

    copy = lives.again(source, "copy")

    assert copy.ask() == before == source.ask()


def available_mebibytes() -> int:
    rows = Path("/proc/meminfo").read_text().splitlines()
    found = next(row for row in rows if row.startswith("MemAvailable:"))
    return int(found.split()[1]) >> 10
