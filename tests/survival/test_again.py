"""One checkpoint many times, generations of it, and versions of chrek-init."""

import shutil
import subprocess
from pathlib import Path

import pytest

from agent.init import binary
from tests.survival.lives import Lives

AT_ONCE = 5
SOURCES = Path(binary.__file__).parent


def test_three_generations_and_each_can_still_be_asked(lives: Lives) -> None:
    source = lives.start("g0", "threads.py")
    before = source.ask()
    generations = [source]
    for number in range(1, 4):
        generations.append(lives.again(generations[-1], f"g{number}"))
    assert [life.ask() for life in generations] == [before] * 4


def test_one_checkpoint_a_hundred_times_in_turn_and_side_by_side(lives: Lives) -> None:
    source = lives.start("source", "signals.py")
    before = source.ask()
    stored = lives.capture(source)
    for turn in range(100 // AT_ONCE):
        names = [f"copy-{turn}-{number}" for number in range(AT_ONCE)]
        copies = lives.restore_all(stored, names)
        assert [copy.ask() for copy in copies] == [before] * AT_ONCE
        lives.stop(*names)
    assert source.ask() == before


@pytest.fixture
def other_init(tmp_path: Path) -> Path:
    """chrek-init of another version: its reaper has other bytes, and so another name."""
    for name in ("chrek-init.c", "chrek-reaper.c", "Makefile"):
        shutil.copy(SOURCES / name, tmp_path)
    reaper = tmp_path / "chrek-reaper.c"
    changed = reaper.read_text().replace("usage: chrek-reaper", "usage of another version:")
    assert changed != reaper.read_text()
    reaper.write_text(changed)
    subprocess.run(["make", "-s", "-C", tmp_path], check=True)
    return tmp_path / "build/chrek-init"


def test_a_checkpoint_of_one_chrek_init_is_restored_by_another(
    lives: Lives, other_init: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHREK_INIT", str(other_init))
    source = lives.start("source", "signals.py")
    before = source.ask()
    stored = lives.capture(source)
    monkeypatch.delenv("CHREK_INIT")

    copy = lives.restore(stored, "copy")
    grandchild = lives.again(copy, "grandchild")

    made_with = stored.manifest.facts.reaper
    for life in (copy, grandchild):
        assert life.ask() == before
        installed = {path.name for path in life.path("/chrek").glob("reaper-*")}
        assert made_with in installed
        assert len(installed) == 2  # and that of its own chrek-init
    assert source.ask() == before
