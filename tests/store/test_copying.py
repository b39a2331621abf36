"""A checkpoint on another disk: the same bytes, or none."""

import os
from pathlib import Path

import pytest
from conftest import FILES, ID, VARIANT, stage

from agent.store import checkpoints, copying, hashing, space
from agent.store.checkpoints import Checkpoints
from agent.trust.keys import Keyring
from chrek.errors import DamagedError, StorageError
from chrek.manifest import StoredFile

MIB = 1 << 20
SPARSE = os.urandom(3 * MIB) + bytes(9 * MIB + 70_000) + os.urandom(5) + bytes(200_000)


def copied(store: Checkpoints, keys: Keyring, source: Path, *more: StoredFile) -> Path:
    files = [*checkpoints.load(source, keys).files, *more]
    place = store.staging_path(ID)
    with store.staging(place):
        copying.copy(source, files, place, lambda: None)
        copying.seal(source, place)
        return store.publish(place, VARIANT, replace=True)


@pytest.fixture
def other(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "other", "default")


def test_a_copy_is_the_checkpoint(other: Checkpoints, published: Path, keys: Keyring) -> None:
    path = copied(other, keys, published)
    assert checkpoints.verify(path, keys) == checkpoints.verify(published, keys)
    for name in (*FILES, "manifest.json", "manifest.json.sig"):
        assert (path / name).read_bytes() == (published / name).read_bytes()


def test_what_is_zero_takes_no_room(
    store: Checkpoints, other: Checkpoints, keys: Keyring, tmp_path: Path
) -> None:
    place = store.staging_path(ID)
    with store.staging(place):
        stage(place, FILES | {"criu/pages-2.img": SPARSE}, keys)
        path = copied(other, keys, store.publish(place, VARIANT, replace=False))
    assert (path / "criu/pages-2.img").read_bytes() == SPARSE
    assert checkpoints.verify(path, keys)
    assert space.taken_bytes(path / "criu") < 4 * MIB


def test_files_that_are_hashed_in_blocks_are_checked_so(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for each in (source, target):
        each.mkdir()
    content = os.urandom(17 * MIB + 11)
    (source / "pages-1.bin").write_bytes(content)
    blocks = [content[at : at + MIB] for at in range(0, len(content), MIB)]
    digest = hashing.of_blocks(b"".join(map(hashing.of_block, blocks)))
    copying.copy(source, [StoredFile("pages-1.bin", len(content), digest)], target, lambda: None)
    assert (target / "pages-1.bin").read_bytes() == content


@pytest.mark.parametrize("name", ["criu/pages-1.img", "files.tar.zst"])
@pytest.mark.parametrize("damage", ["changed", "cut", "missing", "a link"])
def test_what_was_not_published_is_not_copied(
    other: Checkpoints, published: Path, keys: Keyring, name: str, damage: str
) -> None:
    path = published / name
    content = path.read_bytes()
    path.unlink()
    if damage == "changed":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "cut":
        path.write_bytes(content[:-1])
    elif damage == "a link":
        path.symlink_to("/dev/zero")
    with pytest.raises(DamagedError):
        copied(other, keys, published)
    assert other.ids() == []


def test_what_ends_it_leaves_nothing(other: Checkpoints, published: Path, keys: Keyring) -> None:
    def enough() -> None:
        raise ZeroDivisionError

    place = other.staging_path(ID)
    with pytest.raises(ZeroDivisionError), other.staging(place):
        copying.copy(published, checkpoints.load(published, keys).files, place, enough)
    assert not place.parent.exists()


def test_a_file_that_stands_there_already_is_not_written(
    other: Checkpoints, published: Path, keys: Keyring
) -> None:
    place = other.staging_path(ID)
    with other.staging(place):
        (place / "files.tar.zst").write_text("somebody else's")
        with pytest.raises(StorageError, match="File exists"):
            copying.copy(published, checkpoints.load(published, keys).files, place, lambda: None)
        assert (place / "files.tar.zst").read_text() == "somebody else's"
