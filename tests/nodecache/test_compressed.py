"""A claim has large memory compressed, the node as it is."""

from pathlib import Path

import pytest

from agent.store import checkpoints
from agent.store.checkpoints import Stored
from chrek.errors import StorageFullError
from tests.chaos import disks
from tests.nodecache.ground import Ground


@pytest.fixture(autouse=True, params=["zstd", "lz4"])
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CHREK_COMPRESSION", request.param)
    name: str = request.param
    return name


def pages(place: Path) -> set[str]:
    return {path.name.rpartition(".")[2] for path in place.glob("pages-*")}


def filled(ground: Ground, stored: Stored) -> bool:
    return ground.cache.fill(stored.path, checkpoints.peek(stored.path), lambda: None)


def test_a_capture_is_compressed_on_its_way_to_the_claim(ground: Ground) -> None:
    source = ground.start("source", repeats=64)
    told = source.ask()
    stored = ground.capture(source)
    [copy] = ground.cache.copies()
    assert pages(copy.path) == {"bin"}
    assert pages(stored.path) <= {"zst", "lz4"}
    for path in (copy.path, stored.path):
        assert checkpoints.verify(path, ground.means.keys).files == stored.manifest.files
    assert "copy" in stored.manifest.phases
    assert ground.restore(stored, "from-the-node").ask() == told
    ground.cache.drop(copy.path, "removed")
    assert ground.restore(stored, "from-the-claim").ask() == told
    assert dict(ground.cache.results) == {"hit": 1, "miss": 1}


def test_a_node_that_fetches_it_unpacks_it(ground: Ground) -> None:
    source = ground.start("source", repeats=64)
    told = source.ask()
    stored = ground.capture(source)
    [first] = ground.cache.copies()
    ground.cache.drop(first.path, "removed")

    assert filled(ground, stored)
    [copy] = ground.cache.copies()
    assert pages(copy.path) == {"bin"}
    assert copy.size_bytes == pytest.approx(first.size_bytes, rel=0.02)
    for path in (*stored.path.glob("pages-*"), *stored.path.glob("criu/*")):
        path.unlink()  # all that is left on the volume is the manifest
    assert ground.restore(stored, "copy").ask() == told


def test_room_is_made_for_what_it_is_unpacked(ground: Ground) -> None:
    stored = ground.capture(ground.start("source", repeats=64))
    [first] = ground.cache.copies()
    ground.cache.drop(first.path, "removed")
    ground.cache.size_bytes = 40 << 20
    assert stored.manifest.size_bytes < 40 << 20 < first.size_bytes
    assert not filled(ground, stored)
    assert not ground.cache.copies()
    assert not ground.half_done()


def test_without_room_on_the_node_the_claim_has_it_compressed(ground: Ground) -> None:
    source = ground.start("source", repeats=64)
    told = source.ask()
    with disks.small(ground.place, 64 << 20):
        stored = ground.capture(source)
    assert "compress" in stored.manifest.phases
    assert pages(stored.path) <= {"zst", "lz4"}
    assert not ground.half_done()
    assert ground.restore(stored, "copy").ask() == told


def test_a_claim_that_is_full_meanwhile_leaves_the_source_alone(ground: Ground) -> None:
    source = ground.start("source")
    told = source.ask()
    place = ground.volume.parent / "small"
    with disks.small(place, 32 << 20):
        ground.volume = place
        with pytest.raises(StorageFullError, match="No space left"):
            ground.capture(source)
        assert not ground.half_done()
        assert not list(place.glob("default/source/*"))
    assert source.ask() == told
