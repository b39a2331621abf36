"""Whatever is wrong with pages, nothing resumes with a wrong byte: the command starts cold. And
whatever happens to a capture, its source runs on."""

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from agent.engine.capture import Capture, capture
from agent.pages import load, pack
from agent.store import checkpoints, hashing
from agent.store.checkpoints import Stored
from chrek.errors import DamagedError, RestoreError
from chrek.ids import checkpoint_id
from chrek.names import FORMAT_UNCOMPRESSED
from chrek.runspec import Volume
from tests.machine.conftest import PYTHON, leftovers, wait_for
from tests.pages import memory
from tests.survival.lives import Life, Lives


@pytest.fixture(scope="module")
def held(all_lives: Lives) -> tuple[Stored, Any]:
    """A checkpoint with pages of both kinds, and what its source said."""
    source = started(all_lives, "source")
    told = source.ask()
    stored = all_lives.capture(source)
    assert source.ask() == told
    all_lives.stop_all()
    assert stored.manifest.format == FORMAT_UNCOMPRESSED
    return stored, told


def started(lives: Lives, name: str, mebibytes: int = 40) -> Life:
    volume = Volume(str(memory.OWN_PROGRAMS), "/own", read_only=True)
    return lives.start(name, PYTHON, "/own/holding.py", str(mebibytes), volumes=[volume])


def cold(lives: Lives, name: str, told: Any) -> bool:
    """Whether the container runs its command from the start."""
    life = Life(lives.machine, lives.machine.containers.target(name))
    life.says("cold start")
    life.says("ready")
    return bool(life.ask()[0] != told[0])


@contextmanager
def changed(path: Path) -> Iterator[None]:
    """Afterwards it is as it was."""
    kept = path.with_name(f".{path.name}.kept")
    shutil.copyfile(path, kept)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            path.unlink()
        kept.rename(path)


def page_file(stored: Stored) -> Path:
    return max(stored.path.glob("pages-*.bin"), key=lambda path: path.stat().st_size)


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        byte = os.pread(file.fileno(), 1, offset)
        os.pwrite(file.fileno(), bytes([byte[0] ^ 1]), offset)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "longer": lambda path: os.truncate(path, path.stat().st_size + 4096),
    "first byte": lambda path: flip(path, 0),
    "last byte": lambda path: flip(path, path.stat().st_size - 1),
    "a byte within": lambda path: flip(path, path.stat().st_size // 3),
    "missing": lambda path: path.unlink(),
    "another file": lambda path: path.write_bytes(os.urandom(path.stat().st_size)),
    "a link": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
}


@pytest.mark.parametrize("which", ["pages", "index"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused_and_the_command_starts_cold(
    lives: Lives, held: tuple[Stored, Any], which: str, damage: str
) -> None:
    stored, told = held
    path = page_file(stored) if which == "pages" else stored.path / "pages.idx"
    with changed(path):
        DAMAGES[damage](path)
        with pytest.raises(DamagedError, match=r"pages[-0-9]*\.(bin|idx)"):
            lives.restore(stored, "copy")
        with pytest.raises(DamagedError):
            checkpoints.verify(stored.path, lives.machine.keys())
    assert cold(lives, "copy", told)
    checkpoints.verify(stored.path, lives.machine.keys())


def test_what_was_hashed_is_what_is_written(
    lives: Lives, held: tuple[Stored, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody changes each block on the volume just after it was checked."""
    stored, told = held
    path, of_block, lock = page_file(stored), hashing.of_block, threading.Lock()
    content = path.read_bytes()

    def spoiled(block: bytes | memoryview) -> bytes:
        at = content.find(bytes(block[:64]))
        with lock, path.open("r+b") as file:
            os.pwrite(file.fileno(), b"spoiled", at) if at >= 0 else None
        return of_block(block)

    with changed(path):
        monkeypatch.setattr(hashing, "of_block", spoiled)
        assert lives.restore(stored, "copy").ask() == told
        assert path.read_bytes() != content


def test_the_agent_is_interrupted_while_it_loads(
    lives: Lives, held: tuple[Stored, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, told = held
    restoring: list[asyncio.Task[Any]] = []
    real = load.load

    def interrupted(*arguments: Any) -> None:
        restoring[0].get_loop().call_soon_threadsafe(restoring[0].cancel)
        arguments[-1].wait(30)
        real(*arguments)

    monkeypatch.setattr(load, "load", interrupted)
    original = asyncio.run

    def run(main: Any, **options: Any) -> Any:
        async def named() -> Any:
            task = asyncio.current_task()
            assert task is not None
            restoring.append(task)
            return await main

        return original(named(), **options)

    monkeypatch.setattr(asyncio, "run", run)
    with pytest.raises(asyncio.CancelledError):
        lives.restore(stored, "copy")
    monkeypatch.undo()
    assert cold(lives, "copy", told)


def test_a_process_that_dies_meanwhile_is_said(
    lives: Lives, held: tuple[Stored, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, told = held
    real = load.load

    def killed(pages: Any, pids: dict[int, int], *rest: Any) -> None:
        os.kill(pids[pages[0].file.pid], 9)
        real(pages, pids, *rest)

    monkeypatch.setattr(load, "load", killed)
    with pytest.raises(RestoreError, match="of the restored tree"):
        lives.restore(stored, "copy")
    assert cold(lives, "copy", told)


def test_a_capture_that_is_cancelled_while_it_packs_leaves_nothing(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = started(lives, "cancelled")
    told = source.ask()
    packing, machine = threading.Event(), lives.machine
    real = pack.pack

    def slow(*arguments: Any) -> Any:
        packing.set()
        arguments[-1].wait(30)  # until it is cancelled
        return real(*arguments)

    monkeypatch.setattr(pack, "pack", slow)

    async def cancelled() -> None:
        asked = Capture(source.target, checkpoint_id("cancelled"))
        task = asyncio.create_task(capture(asked, store=machine.store, means=machine.means()))
        assert await asyncio.to_thread(packing.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    monkeypatch.undo()
    assert source.ask() == told
    assert machine.store.variants(checkpoint_id("cancelled")) == []
    assert not leftovers(lives.root)
    assert lives.again(source, "copy").ask() == told


def test_a_restored_program_is_captured_again(lives: Lives, held: tuple[Stored, Any]) -> None:
    stored, told = held
    copy = lives.restore(stored, "copy")
    assert lives.again(copy, "copy-of-copy").ask() == told
    wait_for(lambda: copy.ask() == told, "the copy to run on")
