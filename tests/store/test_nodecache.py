"""Copies on the node: bounded, the least lately used go first, nothing half, nothing in use."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import FILES, ID, VARIANT, stage

from agent.store import checkpoints, copying, space
from agent.store.checkpoints import Checkpoints
from agent.store.nodecache import NodeCache
from agent.store.use import in_use
from agent.trust.keys import Keyring
from chrek.errors import DamagedError, NotFoundError, StorageError
from tests.chaos import disks

Publish = Callable[..., Path]
VARIANTS = [f"{number:016x}" for number in range(1, 6)]

KILLED = """
import os, pathlib, signal, sys
from agent.store import checkpoints
from agent.store.nodecache import NodeCache

source, steps = pathlib.Path(sys.argv[2]), int(sys.argv[3])

def step():
    global steps
    steps -= 1
    if steps < 0:
        os.kill(os.getpid(), signal.SIGKILL)

NodeCache(pathlib.Path(sys.argv[1]), 1 << 30).fill(source, checkpoints.peek(source), step)
"""


def nothing() -> None:
    pass


@pytest.fixture
def cache(tmp_path: Path) -> NodeCache:
    return NodeCache(tmp_path / "cache", 1 << 30)


@pytest.fixture
def several(publish: Publish) -> dict[str, Path]:
    """Variants on the volume that are all of one size."""
    return {name: publish(variant=name) for name in VARIANTS}


def fill(cache: NodeCache, path: Path) -> bool:
    return cache.fill(path, checkpoints.peek(path), nothing)


def kept(cache: NodeCache) -> list[str]:
    return [copy.variant for copy in cache.copies()]


def hidden(cache: NodeCache) -> list[str]:
    return [path.name for path in cache.path.glob("*/*/.*")]


def of_size(cache: NodeCache, several: dict[str, Path], count: float) -> NodeCache:
    """The same directory for so many of these checkpoints."""
    one = checkpoints.peek(several[VARIANTS[0]]).size_bytes + 20_000
    return NodeCache(cache.path, int(one * count))


def test_what_was_filled_is_found_and_is_the_checkpoint(
    cache: NodeCache, published: Path, keys: Keyring
) -> None:
    manifest = checkpoints.load(published, keys)
    assert cache.find(manifest) is None
    assert fill(cache, published)
    found = cache.find(manifest)
    assert found is not None
    assert checkpoints.verify(found, keys) == manifest
    assert kept(cache) == [VARIANT]
    assert cache.copied_bytes == space.taken_bytes(found) > 200_000
    assert not hidden(cache)


def test_what_a_capture_put_together_is_moved_in(
    cache: NodeCache, store: Checkpoints, keys: Keyring
) -> None:
    home = cache.store("default")
    staged = home.staging_path(ID)
    with home.staging(staged):
        stage(staged, FILES, keys)
        inode = (staged / "files.tar.zst").stat().st_ino
        manifest = checkpoints.peek(staged)
        assert cache.keep(staged, manifest)
    found = cache.find(manifest)
    assert found is not None
    assert (found / "files.tar.zst").stat().st_ino == inode
    assert not hidden(cache)


def test_only_the_very_checkpoint_is_found(
    cache: NodeCache, publish: Publish, published: Path
) -> None:
    before = checkpoints.peek(published)
    assert fill(cache, published)
    publish(FILES | {"files.tar.zst": b"another"}, replace=True)
    assert cache.find(checkpoints.peek(published)) is None
    assert cache.find(before) is not None
    assert fill(cache, published)
    assert cache.find(before) is None
    assert cache.find(checkpoints.peek(published)) is not None
    assert cache.dropped == {"removed": 1}
    assert len(kept(cache)) == 1


@pytest.mark.parametrize("damage", ["changed", "missing", "none", "a link", "a FIFO"])
def test_a_copy_whose_manifest_is_damaged_is_none(
    cache: NodeCache, published: Path, damage: str
) -> None:
    manifest = checkpoints.peek(published)
    assert fill(cache, published)
    found = cache.find(manifest)
    assert found is not None
    path = found / "manifest.json"
    content = path.read_bytes()
    path.unlink()
    if damage == "changed":
        path.write_bytes(content.replace(b"web", b"wob"))
    elif damage == "none":
        path.write_bytes(b"{")
    elif damage == "a link":
        path.symlink_to(published / "manifest.json")
    elif damage == "a FIFO":
        os.mkfifo(path)
    assert cache.find(manifest) is None
    assert fill(cache, published)
    assert cache.find(manifest) is not None


def test_the_least_lately_restored_go_first(cache: NodeCache, several: dict[str, Path]) -> None:
    small = of_size(cache, several, 3)
    for number, name in enumerate(VARIANTS[:3]):
        assert fill(small, several[name])
        os.utime(small.path / "default" / ID / name / "manifest.json", (number, number))
    found = small.find(checkpoints.peek(several[VARIANTS[0]]))
    small.found("hit", found)
    assert fill(small, several[VARIANTS[3]])
    assert kept(small) == [VARIANTS[2], VARIANTS[0], VARIANTS[3]]
    assert fill(small, several[VARIANTS[4]])
    assert kept(small) == [VARIANTS[0], VARIANTS[3], VARIANTS[4]]
    assert small.copied_bytes <= small.size_bytes
    assert small.dropped == {"room": 2}
    assert not hidden(small)


def test_the_bound_holds_whatever_comes(cache: NodeCache, several: dict[str, Path]) -> None:
    small = of_size(cache, several, 2.5)
    for name in (*VARIANTS, *VARIANTS[::-1], VARIANTS[0]):
        assert fill(small, several[name])
        assert small.copied_bytes <= small.size_bytes
    assert len(kept(small)) == 2


def test_a_bound_that_was_lowered_and_a_disk_that_others_fill_cost_copies(
    cache: NodeCache, several: dict[str, Path]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: a tmpfs is mounted")
    with disks.small(cache.path, 2 << 20):
        for name in VARIANTS[:4]:
            assert fill(cache, several[name])
        cache.sweep()
        assert len(kept(cache)) == 4
        of_size(cache, several, 3).sweep()
        assert kept(cache) == VARIANTS[1:4]
        (cache.path / "others").write_bytes(bytes(1228 << 10))
        cache.sweep()
        assert kept(cache) == VARIANTS[2:4]
        (cache.path / "more").write_bytes(bytes(300 << 10))
        cache.sweep()
        assert len(kept(cache)) == 0


def test_what_is_larger_than_the_bound_is_not_kept_and_nothing_goes_for_it(
    cache: NodeCache, several: dict[str, Path], publish: Publish, keys: Keyring
) -> None:
    small = of_size(cache, several, 1)
    assert fill(small, several[VARIANTS[0]])
    large = publish(FILES | {"criu/pages-2.img": os.urandom(900_000)}, variant="f" * 16)
    assert not fill(small, large)
    home = small.store("default")
    staged = home.staging_path(ID)
    with home.staging(staged):
        stage(staged, FILES | {"criu/pages-2.img": os.urandom(900_000)}, keys, "e" * 16)
        assert not small.keep(staged, checkpoints.peek(staged))
    assert kept(small) == VARIANTS[:1]
    assert not hidden(small)


async def test_what_is_restored_from_stays(cache: NodeCache, several: dict[str, Path]) -> None:
    small = of_size(cache, several, 2)
    for name in VARIANTS[:2]:
        assert fill(small, several[name])
    first, second = (copy.path for copy in small.copies())
    async with in_use(first):
        assert fill(small, several[VARIANTS[2]])
        assert kept(small) == [VARIANTS[0], VARIANTS[2]]
        async with in_use(small.copies()[1].path):
            assert not fill(small, several[VARIANTS[3]])
        assert not second.exists()
    assert fill(small, several[VARIANTS[3]])
    assert kept(small) == [VARIANTS[2], VARIANTS[3]]


async def test_what_is_dropped_while_it_is_restored_from_goes_afterwards(
    cache: NodeCache, published: Path
) -> None:
    assert fill(cache, published)
    [copy] = cache.copies()
    async with in_use(copy.path):
        descriptor = os.open(copy.path / "files.tar.zst", os.O_RDONLY)
        cache.drop(copy.path, "removed")
        assert not kept(cache)
        cache.sweep()
        assert len(hidden(cache)) == 1
        assert os.read(descriptor, 1 << 20) == FILES["files.tar.zst"]
        os.close(descriptor)
    cache.sweep()
    assert not hidden(cache)


def test_one_that_is_replaced_meanwhile_fills_nothing(
    cache: NodeCache, published: Path, publish: Publish
) -> None:
    """Else its files would stand beside the other's manifest."""
    manifest = checkpoints.peek(published)
    real = copying.copy

    def replaced(*arguments: Any) -> Any:
        made = real(*arguments)
        publish(FILES | {"files.tar.zst": b"newer"}, replace=True)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "copy", replaced)
        with pytest.raises(NotFoundError, match="replaced"):
            cache.fill(published, manifest, nothing)
    assert not kept(cache)
    assert not hidden(cache)
    newer = checkpoints.peek(published)
    assert newer != manifest
    assert cache.fill(published, newer, nothing)
    assert cache.find(newer)


@pytest.mark.parametrize("name", ["criu/pages-1.img", "files.tar.zst", "criu/inventory.img"])
def test_a_volume_that_is_damaged_fills_nothing(
    cache: NodeCache, published: Path, name: str
) -> None:
    content = (published / name).read_bytes()
    (published / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DamagedError, match="its hash differs"):
        fill(cache, published)
    assert not kept(cache)
    assert not hidden(cache)


@pytest.mark.parametrize("steps", range(6))
def test_one_that_is_killed_leaves_nothing_that_looks_whole(
    cache: NodeCache, published: Path, steps: int
) -> None:
    command = [sys.executable, "-c", KILLED, str(cache.path), str(published), str(steps)]
    code = subprocess.run(command, check=False).returncode
    next_one = NodeCache(cache.path, 1 << 30)
    next_one.tidy()
    assert not hidden(next_one)
    pieces = sum(1 for content in FILES.values() if content)
    assert (code, bool(kept(next_one))) == ((-signal.SIGKILL, False), (0, True))[steps >= pieces]
    assert fill(next_one, published)


def test_copies_make_room_for_a_capture_where_that_is_enough(
    cache: NodeCache, several: dict[str, Path]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: a tmpfs is mounted")
    with disks.small(cache.path, 2 << 20):
        for name in VARIANTS[:3]:
            assert fill(cache, several[name])
        with cache.room(16 << 20) as free:
            assert free < 16 << 20
        assert len(kept(cache)) == 3
        with cache.room(free + 300_000) as more:
            assert more >= free + 300_000
            assert kept(cache) == [VARIANTS[2]]
            with cache.room(1 << 20) as left:  # what was promised is not given twice
                assert left < 1 << 20
            assert fill(cache, several[VARIANTS[0]])
            assert kept(cache) == [VARIANTS[0]]
        assert fill(cache, several[VARIANTS[1]])
        assert kept(cache) == VARIANTS[:2]


def test_what_others_can_write_is_no_place_for_it(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(StorageError, match="others than root can write"):
        NodeCache(tmp_path / "open", 1)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        NodeCache(tmp_path / "file", 1)
