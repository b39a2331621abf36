"""A capture is put together on the node's own disk, and comes to the volume whole or not at all."""

import asyncio
import logging
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from agent.criu import rpc
from agent.engine import operations
from agent.pages import pack
from agent.store import checkpoints, copying
from agent.store.nodecache import NodeCache
from chrek.errors import StorageDeniedError, StorageError, StorageFullError
from chrek.ids import checkpoint_id
from tests.chaos import disks
from tests.nodecache.ground import Ground

CAPTURING = Path(__file__).parent / "programs" / "capturing.py"
REPOSITORY = Path(__file__).parents[2]


def test_a_checkpoint_is_put_together_in_the_nodes_directory_and_copied(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ground.start("source")
    told = source.ask()
    places: list[Path] = []
    real = pack.pack

    def looked(bundle: Any, staged: Path, *rest: Any) -> Any:
        places.append(staged)
        assert not list(ground.volume.glob("default/*/*"))
        return real(bundle, staged, *rest)

    monkeypatch.setattr(pack, "pack", looked)
    stored = ground.capture(source)

    assert [place.is_relative_to(ground.place) for place in places] == [True]
    assert stored.path.is_relative_to(ground.volume)
    assert checkpoints.verify(stored.path, ground.means.keys).files == stored.manifest.files
    assert {"copy", "publish"} <= stored.manifest.phases.keys()
    assert not ground.half_done()
    assert source.ask() == told
    assert ground.restore(stored, "copy").ask() == told


def test_without_room_on_the_node_it_is_put_together_on_the_volume(
    ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    source = ground.start("source")
    told = source.ask()
    with disks.small(ground.place, 64 << 20), caplog.at_level(logging.INFO, "chrek.capture"):
        stored = ground.capture(source)
        assert not list(ground.place.rglob("*.img"))
    [record] = [each for each in caplog.records if each.message == "captured on the volume"]
    fields = record.fields  # type: ignore[attr-defined]
    assert fields["needed"] > fields["free"]
    assert "copy" not in stored.manifest.phases
    assert source.ask() == told
    assert ground.restore(stored, "copy").ask() == told


def test_a_volume_without_room_is_refused_before_a_byte_is_written(ground: Ground) -> None:
    source = ground.start("source")
    told = source.ask()
    place = ground.volume.parent / "small"
    with disks.small(place, 32 << 20):
        ground.volume = place
        with pytest.raises(StorageFullError, match="MiB free"):
            ground.capture(source)
        assert not list(place.glob("*/*"))
    assert source.ask() == told
    assert not ground.half_done()


def test_a_volume_that_cannot_be_written_is_found_out_before_anything_stands_still(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ground.start("source")
    disks.make_read_only(ground.volume)

    async def frozen(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(rpc, "dump", frozen)
    with pytest.raises(StorageDeniedError):
        ground.capture(source)
    assert disks.mend(ground.volume)
    assert not ground.half_done()


@pytest.mark.parametrize("way", [disks.break_down, disks.make_read_only])
def test_a_volume_that_breaks_while_it_is_copied_to_leaves_the_source_alone(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, way: Any
) -> None:
    source = ground.start("source")
    told = source.ask()
    real, pieces = copying.copy, []

    def broken(source: Path, files: Any, target: Path, step: Any, *rest: Any) -> Any:
        def breaking() -> None:
            step()
            pieces.append(target)
            if len(pieces) == 3:
                way(ground.volume)

        return real(source, files, target, breaking, *rest)

    monkeypatch.setattr(copying, "copy", broken)
    with pytest.raises(StorageError) as told_why:
        ground.capture(source)
    assert str(ground.volume) in str(told_why.value)
    monkeypatch.undo()
    assert source.ask() == told
    assert not list(ground.place.glob("*/*/.*"))

    assert disks.mend(ground.volume)
    assert not ground.store.variants(checkpoint_id("source"))
    ground.store.tidy_id(checkpoint_id("source"))
    stored = ground.capture(source)
    assert not ground.half_done()
    assert ground.restore(stored, "copy").ask() == told


def test_a_file_that_changes_on_the_node_is_not_published(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can but root; a disk that loses a bit can."""
    source = ground.start("source")
    real = copying.copy

    def changed(source: Path, *rest: Any) -> Any:
        path = next(source.glob("pages-*.bin"))
        with path.open("r+b") as file:
            file.seek(5 << 20)
            file.write(os.urandom(16))
        return real(source, *rest)

    monkeypatch.setattr(copying, "copy", changed)
    with pytest.raises(Exception, match="its hash differs"):
        ground.capture(source)
    assert not ground.store.variants(checkpoint_id("source"))
    assert not ground.half_done()


def test_a_capture_that_is_cancelled_while_it_copies_leaves_nothing(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ground.start("source")
    told = source.ask()
    copying_now = threading.Event()
    real = copying.copy

    def slow(source: Path, files: Any, target: Path, step: Any, *rest: Any) -> Any:
        def slowly() -> None:
            copying_now.set()
            time.sleep(0.05)
            step()

        return real(source, files, target, slowly, *rest)

    monkeypatch.setattr(copying, "copy", slow)

    async def cancelled() -> None:
        task = asyncio.create_task(ground.captured(source))
        assert await asyncio.to_thread(copying_now.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert not ground.store.variants(checkpoint_id("source"))
    assert not ground.half_done()
    assert source.ask() == told


@pytest.mark.parametrize("moment", ["begun", "files-frozen", "dump", "pages", "pack", "copy"])
def test_an_agent_that_is_killed_leaves_what_the_next_one_cleans(
    ground: Ground, moment: str
) -> None:
    """moment: the phase that ended last."""
    source = ground.start("source", mebibytes=60)
    told = source.ask()
    arguments = [str(ground.lives.root), str(ground.volume), str(ground.place), "source"]
    command = [sys.executable, str(CAPTURING), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        while (said := process.stdout.readline().strip()) != moment:
            assert said, "it ended before"
        time.sleep(random.Random(moment).uniform(0.0, 0.05))
        process.kill()

    async def next_start() -> None:
        await operations.tidy(ground.lives.machine.settings)
        ground.cache.tidy()
        ground.store.tidy_id(checkpoint_id("source"))

    asyncio.run(next_start())
    assert not ground.half_done()
    assert source.ask() == told
    for path in ground.store.every_variant(checkpoint_id("source")):
        checkpoints.verify(path, ground.means.keys)
    stored = ground.capture(source)
    assert ground.restore(stored, "copy").ask() == told


def test_a_directory_that_others_can_write_is_not_used(ground: Ground) -> None:
    ground.place.chmod(0o777)
    with pytest.raises(StorageError, match="others than root"):
        NodeCache(ground.place, 1)
