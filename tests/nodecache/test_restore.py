"""A restore reads the node's copy where there is one, believes it no more than the volume, and
survives whatever is wrong with it."""

import asyncio
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.engine.capture import Capture, capture
from agent.kernel import calls
from agent.pages import load
from agent.store import checkpoints
from agent.store.checkpoints import Stored
from chrek import manifest as manifests
from chrek.errors import CopyDamagedError, DamagedError
from chrek.ids import checkpoint_id
from tests.chaos import disks
from tests.nodecache.ground import Ground
from tests.survival.lives import Life


def large(path: Path) -> Path:
    """The largest file of a checkpoint, which restores read in pieces."""
    return max(path.glob("pages-*.bin"), key=lambda found: found.stat().st_size)


def copy_of(ground: Ground, stored: Stored) -> Path:
    found = ground.cache.find(checkpoints.peek(stored.path))
    assert found is not None
    return found


def cold(ground: Ground, name: str, told: Any) -> bool:
    """Whether the container runs its command from the start."""
    life = Life(ground.lives.machine, ground.lives.machine.containers.target(name))
    life.says("cold start")
    life.says("ready")
    return bool(life.ask()[0] != told[0])


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        byte = os.pread(file.fileno(), 1, offset)
        os.pwrite(file.fileno(), bytes([byte[0] ^ 1]), offset)


def test_what_was_captured_here_is_restored_from_the_nodes_copy(ground: Ground) -> None:
    source = ground.start("source")
    told = source.ask()
    stored = ground.capture(source)
    [copy] = ground.cache.copies()
    assert copy.size_bytes <= ground.cache.size_bytes
    for file in (*stored.path.glob("pages-*.bin"), *stored.path.glob("criu/*")):
        file.unlink()  # all that is left on the volume is the manifest
    assert ground.restore(stored, "copy").ask() == told
    assert ground.restore(stored, "other").ask() == told
    assert ground.cache.results == {"hit": 2}
    checkpoints.verify(copy.path, ground.means.keys)


def test_a_node_that_has_none_reads_the_volume_and_the_copy_it_is_then_filled_with(
    ground: Ground,
) -> None:
    source = ground.start("source")
    told = source.ask()
    stored = ground.capture(source)
    ground.cache.drop(copy_of(ground, stored), "removed")
    assert ground.restore(stored, "copy").ask() == told
    assert ground.cache.results == {"miss": 1}

    assert ground.cache.fill(stored.path, checkpoints.peek(stored.path), lambda: None)
    large(stored.path).unlink()
    assert ground.restore(stored, "other").ask() == told
    assert ground.cache.results == {"miss": 1, "hit": 1}


def linked(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a small image": lambda path: flip(next(path.glob("criu/core-*.img")), 40),
    "no small image": lambda path: (path / "criu/inventory.img").unlink(),
    "the files": lambda path: flip(path / "files.tar.zst", 30),
    "the index": lambda path: flip(path / "pages.idx", 100),
    "large memory cut": lambda path: os.truncate(large(path), 1 << 20),
    "no large memory": lambda path: large(path).unlink(),
    "a link": lambda path: linked(large(path)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_that_shows_early_costs_nothing_but_the_copy(ground: Ground, damage: str) -> None:
    source = ground.start("source")
    told = source.ask()
    stored = ground.capture(source)
    DAMAGES[damage](copy_of(ground, stored))
    assert ground.restore(stored, "copy").ask() == told
    assert ground.cache.results == {"damaged": 1}
    assert not ground.cache.copies()
    assert not ground.half_done()


def test_damage_that_shows_late_is_a_cold_start_and_the_volume_serves_the_next(
    ground: Ground,
) -> None:
    source = ground.start("source")
    told = source.ask()
    stored = ground.capture(source)
    flip(large(copy_of(ground, stored)), 20 << 20)
    with pytest.raises(CopyDamagedError, match="is gone now"):
        ground.restore(stored, "copy")
    assert cold(ground, "copy", told)
    assert not ground.cache.copies()
    assert not ground.half_done()
    assert ground.restore(stored, "other").ask() == told
    assert ground.cache.results == {"hit": 1, "damaged": 1, "miss": 1}


def test_the_same_for_large_images_that_criu_reads(ground: Ground) -> None:
    source = ground.start("source", mebibytes=1)
    told = source.ask()
    stored = ground.capture(source)
    [image] = [
        file
        for file in stored.manifest.files
        if file.name.startswith("criu/pages-") and file.size_bytes > 2 << 20
    ]
    flip(copy_of(ground, stored) / image.name, image.size_bytes // 2)
    with pytest.raises(CopyDamagedError):
        ground.restore(stored, "copy")
    assert cold(ground, "copy", told)
    assert not ground.cache.copies()
    assert ground.restore(stored, "other").ask() == told


def test_damage_of_the_volume_is_still_that(ground: Ground) -> None:
    source = ground.start("source")
    stored = ground.capture(source)
    ground.cache.drop(copy_of(ground, stored), "removed")
    flip(large(stored.path), 20 << 20)
    with pytest.raises(DamagedError):
        ground.restore(stored, "copy")


def test_what_was_made_anew_elsewhere_is_not_restored_from_the_old_copy(ground: Ground) -> None:
    source = ground.start("source")
    told = source.ask()
    old = ground.capture(source)
    other = ground.start("source-2")
    asked = Capture(other.target, checkpoint_id("source"), replace=True)
    means = replace(ground.means, cache=None)
    new = asyncio.run(capture(asked, store=ground.store, means=means))
    assert new.path == old.path
    restored = ground.restore(new, "copy")
    assert restored.ask() == other.ask() != told
    assert ground.cache.results == {"miss": 1}


def test_room_is_not_made_of_what_is_being_restored_from(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ground.start("source")
    told = source.ask()
    stored = ground.capture(source)
    copy = copy_of(ground, stored)
    ground.cache.size_bytes = int(ground.cache.copied_bytes * 1.5)
    manifest = checkpoints.peek(stored.path)
    real, tried = load.load, []

    def crowded(*arguments: Any) -> None:
        other = published_again(ground, stored)
        tried.append(ground.cache.fill(other, checkpoints.peek(other), lambda: None))
        assert ground.cache.find(manifest) == copy
        real(*arguments)

    monkeypatch.setattr(load, "load", crowded)
    assert ground.restore(stored, "copy").ask() == told
    assert tried == [False]
    monkeypatch.undo()
    other = ground.volume / "default/source" / ("f" * 16)
    assert ground.cache.fill(other, checkpoints.peek(other), lambda: None)
    assert ground.cache.find(manifest) is None


def published_again(ground: Ground, stored: Stored) -> Path:
    """The same checkpoint once more, as another variant."""
    other = stored.path.with_name("f" * 16)
    shutil.copytree(stored.path, other)
    manifest = msgspec.structs.replace(checkpoints.peek(stored.path), variant=other.name)
    (other / "manifest.json").write_bytes(manifests.encode(manifest))
    return other


@pytest.mark.parametrize("huge", ["never", "within_size"])
def test_it_may_be_a_tmpfs_with_huge_pages(ground: Ground, huge: str) -> None:
    source = ground.start("source")
    told = source.ask()
    with disks.small(ground.place, 1 << 30):
        try:
            calls.mount("none", str(ground.place), "tmpfs", 32, f"huge={huge},size=1g")
        except OSError as error:
            pytest.skip(f"this kernel's tmpfs has no huge pages: {error}")
        stored = ground.capture(source)
        large(stored.path).unlink()
        assert ground.restore(stored, "copy").ask() == told
        assert ground.cache.results == {"hit": 1}
        ground.lives.stop("copy")
