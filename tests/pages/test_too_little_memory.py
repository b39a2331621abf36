"""A container whose memory limit is too small for what is restored: the kernel kills in it, the
error says so, and the command starts cold there."""

import asyncio

import msgspec
import pytest

from agent.engine import filling
from agent.engine.restore import Choices, restore
from agent.runtime.target import Target
from agent.store.checkpoints import Stored
from chrek.errors import OutOfMemoryError
from chrek.runspec import Volume
from tests.machine.conftest import PYTHON
from tests.pages import memory
from tests.survival.lives import Life, Lives

GROWN, LIMIT = 300, 64
"""MiB: what is restored; what it is restored into, in which the program can start."""


def captured(lives: Lives, rights: str) -> tuple[Stored, str]:
    """A large checkpoint of a program that is small when it starts, and its token."""
    volume = Volume(str(memory.OWN_PROGRAMS), "/own", read_only=True)
    source = lives.start("source", PYTHON, "/own/growing.py", volumes=[volume])
    token = source.ask(f"{GROWN} {rights}")
    stored = lives.capture(source)
    lives.stop("source")
    return stored, token


def confined(lives: Lives, stored: Stored) -> Life:
    """A placeholder that could not be restored."""
    machine, spec = lives.machine, stored.manifest.spec
    assert spec is not None
    small = msgspec.structs.replace(spec, memory_bytes=LIMIT << 20)

    async def refused() -> Target:
        target = await machine.start("copy", small)
        choices = Choices(machine.settings.namespace)
        with pytest.raises(OutOfMemoryError, match=f"a memory limit of {LIMIT} MiB"):
            await restore(target, stored.path, means=machine.means(), choices=choices)
        return target

    return Life(machine, asyncio.run(refused()))


@pytest.mark.parametrize("way", ["threads", "processes", "CRIU"])
def test_it_is_said_and_the_command_starts_cold(
    lives: Lives, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "processes":
        monkeypatch.setattr(filling, "THREADS_EACH", 1)
        monkeypatch.setattr(filling, "_WORTHWHILE_BYTES", 0)
        monkeypatch.setenv("CHREK_PAGE_THREADS", "3")
    stored, token = captured(lives, "read-only" if way == "CRIU" else "writable")
    assert bool(list(stored.path.glob("pages-*.bin"))) == (way != "CRIU")
    life = confined(lives, stored)
    life.says("cold start: OutOfMemory")
    life.says("ready")
    assert life.ask() != token
    assert [each.name for each in life.processes] == ["python3"]
