"""Huge pages are asked for where they take no more memory, and where nobody refused them."""

from typing import Any

import pytest

from chrek.runspec import Volume
from tests.machine.conftest import PYTHON
from tests.pages import memory
from tests.survival.lives import Lives


def told(lives: Lives, *words: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the kernel says of a program's mappings, before and after."""
    volume = Volume(str(memory.OWN_PROGRAMS), "/own", read_only=True)
    source = lives.start("thin", PYTHON, "/own/thin.py", *words, volumes=[volume])
    before = source.ask()
    return before, lives.again(source, "copy").ask()


def test_only_for_what_is_there_and_did_not_refuse(lives: Lives) -> None:
    before, after = told(lives)
    assert not any(each["huge"] for each in before.values())
    assert [name for name, each in after.items() if each["huge"]] == ["full"]
    for name, each in after.items():
        assert each["KiB"] == pytest.approx(before[name]["KiB"], rel=0.05)


def test_never_for_a_process_that_wants_none(lives: Lives) -> None:
    before, after = told(lives, "none")
    assert after == before
