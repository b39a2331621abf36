"""Rows of every bench are of one shape, and stand in one file."""

import json
from pathlib import Path

from bench import results
from bench.budget import Budget
from bench.results import Results

KEYS = ["case", "data", "bytes", "system", "cache", "phases", "total_seconds"]


def test_a_row_has_what_every_row_has_and_more_beside() -> None:
    row = results.row("restore", 1 << 30, "chrek", phases={"criu": 0.5}, threads=2)
    assert list(row) == [*KEYS, "threads"]
    assert (row["data"], row["cache"]) == ("random", "page")


def test_rows_are_written_at_once_and_those_of_other_parts_stay(tmp_path: Path) -> None:
    place = tmp_path / "new" / "latest.json"

    def written() -> list[tuple[str, str]]:
        return [(row["part"], row["system"]) for row in json.loads(place.read_text())]

    memory = Results(place, "memory", {"cores": 2})
    memory.add([results.row("restore", 1, "criu")])
    assert written() == [("memory", "criu")]
    gpu = Results(place, "gpu", {"cores": 16})
    gpu.add([results.row("restore", 1, "chrek")])
    gpu.add([results.row("restore", 2, "chrek")])
    assert written() == [("memory", "criu"), ("gpu", "chrek"), ("gpu", "chrek")]
    memory.add([results.row("restore", 2, "criu")])
    assert written()[0] == ("gpu", "chrek")
    assert written()[2:] == [("memory", "criu"), ("memory", "criu")]
    again = Results(place, "memory", {})
    again.add([results.row("restore", 1, "chrek")])
    assert written() == [("gpu", "chrek"), ("gpu", "chrek"), ("memory", "chrek")]
    assert [each.name for each in place.parent.iterdir()] == ["latest.json"]


def test_nothing_begins_once_the_time_is_up() -> None:
    now = [100.0]
    budget = Budget(10, clock=lambda: now[0])
    assert budget.allows("first")
    now[0] = 109.9
    assert budget.allows("second")
    now[0] = 110.0
    assert not budget.allows("third")
    assert budget.told() == ["left out: third: no time was left"]
    assert Budget(None, clock=lambda: now[0]).allows("always", 1000)


def test_nothing_begins_that_takes_longer_than_there_is_time() -> None:
    now = [100.0]
    budget = Budget(10, clock=lambda: now[0])
    assert budget.allows("first", 10)
    now[0] = 104.0
    assert not budget.allows("second", 7)
    assert budget.allows("third", 6)
    assert budget.told() == ["left out: second: it takes about 7 s, and 6 s were left"]
