"""Memory comes back byte by byte, whatever it is made of, and as much of it as there was."""

import os

import pytest

from agent.pages import choice, cow
from chrek.runspec import Volume
from tests.machine.conftest import PYTHON
from tests.pages import memory
from tests.survival.lives import Life, Lives

SEEDS = [int(seed) for seed in os.environ.get("CHREK_LAYOUT_SEEDS", "1 2 3 4 5 6").split()]
MEBIBYTES = int(os.environ.get("CHREK_LAYOUT_MEBIBYTES", "80"))
NEVER = 1 << 60


def started(lives: Lives, seed: int) -> Life:
    volume = Volume(str(memory.OWN_PROGRAMS), "/own", read_only=True)
    command = (PYTHON, "/own/layout.py", str(seed), str(MEBIBYTES))
    life = lives.start("layout", *command, volumes=[volume])
    memory.still(life)
    return life


@pytest.mark.parametrize("seed", SEEDS)
def test_every_byte_is_as_it_was(lives: Lives, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "LEAST_BYTES", 1 << 20)
    monkeypatch.setattr(choice, "_LEAST_SHARE", 1 << 10)
    monkeypatch.setenv("CHREK_COMPRESSION", ("none", "zstd", "lz4")[seed % 3])
    if seed % 2:  # all that may leave does
        monkeypatch.setattr(choice, "LEAST_BYTES", 1 << 16)
        monkeypatch.setattr(choice, "_LEAST_OF_AREA_BYTES", 1)
        monkeypatch.setattr(cow, "_LEAST_BYTES", 1)
    source = started(lives, seed)
    before, resident = memory.of_tree(source), memory.anonymous_bytes(source)
    zeroes = memory.zero_bytes(source)

    stored = lives.capture(source)
    assert any(file.name.startswith("pages-") for file in stored.manifest.files)
    assert memory.of_tree(source) == before
    copy = lives.restore(stored, "copy")

    after = memory.of_tree(copy)
    assert after.keys() == before.keys()
    for pid, mappings in before.items():
        assert after[pid] == mappings
    now = memory.anonymous_bytes(copy)
    assert now >= (resident - zeroes) * 0.95
    if now > resident * 1.05:
        # CRIU itself shares less between processes when a child split a mapping.
        monkeypatch.setattr(choice, "LEAST_BYTES", NEVER)
        resident = memory.anonymous_bytes(lives.again(source, "plain"))
    assert now <= resident * 1.05 + (1 << 20)
