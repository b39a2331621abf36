"""CRIU's last word before it lets a tree go is only logged when it is a no. So what may not run is
ended before CRIU hears it: not one instruction of it runs."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.engine.restore import Restored
from agent.store import checkpoints
from agent.trust import running
from chrek.errors import ChrekError, ExceedsError
from chrek.runspec import RunSpec
from tests.machine.conftest import PYTHON, wait_for
from tests.trust.places import PROGRAMS, Place


@pytest.fixture(scope="module")
def out(place: Place) -> Path:
    made = place.root / "out"
    made.mkdir()
    return made


@pytest.fixture(scope="module")
def marked(place: Place, out: Path) -> tuple[Path, RunSpec]:
    """The checkpoint of a program that marks every millisecond in which it runs."""
    options = ("--volume", f"{PROGRAMS}:/own:ro", "--volume", f"{out}:/out")
    place("run", "--name", "marks", *options, "--", PYTHON, "/own/marks.py")
    wait_for(lambda: "ready" in place.log("marks"), "the program")
    path = place.checkpoint("marks")
    place("stop", "marks")
    spec = checkpoints.load(path, place.keys).spec
    assert spec is not None
    return path, spec


@pytest.fixture(autouse=True)
def _stopped(place: Place) -> Iterator[None]:
    yield
    for entry in place("ps", "--json").json:
        place("stop", entry["name"])


def marks(out: Path) -> Counter[str]:
    return Counter((out / "marks").read_text().split())


def refuse(*_: Any) -> None:
    raise ExceedsError("as a test has it")


def test_what_exceeds_once_it_is_there_never_runs(
    place: Place, out: Path, marked: tuple[Path, RunSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = marks(out)
    monkeypatch.setattr(running, "check", refuse)
    name, how = place.tried(*marked)
    assert isinstance(how, ExceedsError)
    wait_for(lambda: "ready" in place.log(name), "the cold start")
    wait_for(lambda: set(marks(out)) - set(before), "the cold start to make its own marks")
    assert {token: marks(out)[token] for token in before} == before


def test_what_is_damaged_never_runs(place: Place, out: Path, marked: tuple[Path, RunSpec]) -> None:
    path, spec = marked
    before = marks(out)
    pages = max((path / "criu").glob("pages-*.img"), key=lambda page: page.stat().st_size)
    assert pages.stat().st_size > 1 << 20, "as large as those that CRIU reads unchecked"
    with pages.open("r+b") as file:
        byte = os.pread(file.fileno(), 1, 4096)
        os.pwrite(file.fileno(), bytes([byte[0] ^ 1]), 4096)
        try:
            _, how = place.tried(path, spec)
        finally:
            os.pwrite(file.fileno(), byte, 4096)
    assert isinstance(how, ChrekError)
    assert how.reason == "CheckpointDamaged"
    wait_for(lambda: set(marks(out)) - set(before), "the cold start to make its own marks")
    assert {token: marks(out)[token] for token in before} == before


def test_what_is_not_yet_checked_does_not_run_when_the_restore_is_interrupted(
    place: Place, out: Path, marked: tuple[Path, RunSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = marks(out)
    monkeypatch.setattr(running, "check", interrupt)
    with pytest.raises((asyncio.CancelledError, KeyboardInterrupt)):
        place.tried(*marked)
    wait_for(lambda: set(marks(out)) - set(before), "the cold start to make its own marks")
    assert {token: marks(out)[token] for token in before} == before


def interrupt(*_: Any) -> None:
    """In a thread: the main thread gets a Ctrl-C, as a person would give."""
    os.kill(os.getpid(), signal.SIGINT)


def test_a_good_one_does_run(place: Place, out: Path, marked: tuple[Path, RunSpec]) -> None:
    before = marks(out)
    _, how = place.tried(*marked)
    assert isinstance(how, Restored)
    wait_for(lambda: any(marks(out)[token] > before[token] for token in before), "it to go on")
