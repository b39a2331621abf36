"""What is set on a process, its memory, its directories and its sockets, is set in its copies."""

import os
from typing import Any

import pytest

from tests.survival.lives import Lives

EXPECTED: dict[str, Any] = {
    "of_process": {
        "death signal": 15,
        "subreaper": 1,
        "no huge pages": 1,
        "keeps capabilities": 1,
        "name": "my name",
        "nice": os.nice(0) + 5,
        "oom": "500",
        "core": [100, 200],
        "files": [512, 1024],
    },
    "not_dumpable": 0,
    "locked_memory": "64",
    "huge_pages": -1,
    "directory_gone": "gone",
    "other_root": "inner",
    "files_of_the_kernel": ["Name:", "65536"],
    "options_of_sockets": {
        "options": [100_000, 100_000, 77, 16, 3],
        "waits": [7, 0],
        "device": "lo",
    },
    "abstract_name": "reached",
    "connecting": "not connected",
}


@pytest.fixture(scope="module")
def answers(all_lives: Lives) -> dict[str, dict[str, Any]]:
    """What the program says: at first, after the capture, and in two generations of copies."""
    source = all_lives.start("states", "states.py")
    told = {"before": source.ask()}
    copy = all_lives.again(source, "states-1")
    told |= {"source": source.ask(), "copy": copy.ask()}
    told["copy of the copy"] = all_lives.again(copy, "states-2").ask()
    all_lives.stop_all()
    return told


@pytest.mark.parametrize("state", EXPECTED)
def test_it_is_as_it_was(answers: dict[str, dict[str, Any]], state: str) -> None:
    assert {who: told[state] for who, told in answers.items()} == dict.fromkeys(
        answers, EXPECTED[state]
    )


def test_no_state_was_forgotten(answers: dict[str, dict[str, Any]]) -> None:
    assert answers["before"].keys() == EXPECTED.keys()
