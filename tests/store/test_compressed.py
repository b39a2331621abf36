"""Page files that are compressed on their volume: the same bytes, or none."""

import errno
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import lz4.block
import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.store import compressed, contents, copying, hashing
from chrek.compression import Compression, parse
from chrek.errors import DamagedError, StorageFullError
from chrek.manifest import Compressed, StoredFile
from tests.chaos import disks

MIB = 1 << 20
CODECS = ["zstd", "zstd:19", "lz4", "lz4:9"]
NAME = "pages-1.bin"


def text(size: int, seed: int = 0) -> bytes:
    words = [b"pod", b"node", b"restore", b"warm", b"0x7f3a"]
    return b" ".join(random.Random(seed).choices(words, k=size // 4))[:size]


CONTENT = text(MIB) + os.urandom(MIB) + bytes(2 * MIB) + text(MIB // 2) + bytes(MIB // 2) + b"end"


def stored(place: Path, content: bytes) -> StoredFile:
    """A page file in a directory, and what a manifest says of it."""
    place.mkdir(parents=True)
    (place / NAME).write_bytes(content)
    blocks = [content[at : at + MIB] for at in range(0, len(content), MIB)]
    return StoredFile(
        NAME, len(content), hashing.of_blocks(b"".join(map(hashing.of_block, blocks)))
    )


def copied(source: Path, file: StoredFile, target: Path, codec: str = "none") -> StoredFile:
    target.mkdir(parents=True)
    [made] = copying.copy(source, [file], target, lambda: None, parse(codec, 3))
    return made


def verify(place: Path, file: StoredFile) -> None:
    with contents.opened(place) as directory:
        compressed.verify(directory, file)


@pytest.fixture(params=["zstd", "lz4"])
def volume(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, StoredFile]:
    """A directory that has CONTENT compressed."""
    file = stored(tmp_path / "node", CONTENT)
    return tmp_path / "volume", copied(tmp_path / "node", file, tmp_path / "volume", request.param)


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_compressed_comes_back(tmp_path: Path, codec: str) -> None:
    file = stored(tmp_path / "node", CONTENT)
    made = copied(tmp_path / "node", file, tmp_path / "volume", codec)
    assert made.compressed is not None
    assert (made.size_bytes, made.digest) == (file.size_bytes, file.digest)
    [path] = (tmp_path / "volume").glob("pages*")
    assert path.name == made.compressed_name(made.compressed.codec)
    assert path.stat().st_size == made.compressed.size_bytes
    assert MIB < path.stat().st_size < 2 * MIB  # what is random stays as it is
    verify(tmp_path / "volume", made)

    assert copied(tmp_path / "volume", made, tmp_path / "other") == made
    assert (tmp_path / "other" / NAME).read_bytes() == CONTENT
    assert (tmp_path / "other" / NAME).stat().st_blocks * 512 < 4 * MIB
    verify(tmp_path / "other", made)


@settings(max_examples=25, deadline=None)
@given(
    pieces=st.lists(
        st.tuples(st.sampled_from(["text", "random", "zero"]), st.integers(1, 3 * MIB)), max_size=4
    ),
    codec=st.sampled_from(CODECS[::2]),
)
def test_whatever_it_is_made_of(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[str, int]], codec: str
) -> None:
    made = {"text": text, "random": random.Random(7).randbytes, "zero": bytes}
    content = b"".join(made[kind](size) for kind, size in pieces)
    place = tmp_path_factory.mktemp("any")
    on_volume = copied(place / "node", stored(place / "node", content), place / "volume", codec)
    verify(place / "volume", on_volume)
    copied(place / "volume", on_volume, place / "other")
    assert (place / "other" / NAME).read_bytes() == content


def test_in_place_only_the_compressed_file_stays(tmp_path: Path) -> None:
    file = stored(tmp_path / "claim", CONTENT)
    rest = StoredFile("files.tar.zst", 4, hashing.of_bytes(b"rest"))
    (tmp_path / "claim" / rest.name).write_bytes(b"rest")
    files = copying.compress(tmp_path / "claim", [file, rest], Compression("zstd", 1), lambda: None)
    assert [made.compressed is not None for made in files] == [True, False]
    assert sorted(path.name for path in (tmp_path / "claim").iterdir()) == [
        "files.tar.zst",
        f"{NAME}.zst",
    ]
    for made in files:
        verify(tmp_path / "claim", made)


def test_in_place_a_file_that_finds_no_room_for_both_stays_as_it_is(tmp_path: Path) -> None:
    place = tmp_path / "claim"
    place.mkdir()
    with disks.small(place, 9 * MIB):
        file = stored(place / "staged", os.urandom(6 * MIB))
        made = copying.compress(place / "staged", [file], Compression("zstd", 1), lambda: None)
        assert made == [file]
        assert [path.name for path in (place / "staged").iterdir()] == [NAME]
        verify(place / "staged", file)


def _byte(offset: int) -> Callable[[Path], object]:
    def changed(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[offset] ^= 1
        path.write_bytes(content)

    return changed


DAMAGES: dict[str, Callable[[Path], object]] = {
    "the first byte": _byte(0),
    "a byte of the table": _byte(-40),
    "the last byte": _byte(-1),
    "cut": lambda path: os.truncate(path, path.stat().st_size - 1),
    "longer": lambda path: os.truncate(path, path.stat().st_size + 1),
    "empty": lambda path: os.truncate(path, 0),
    "missing": lambda path: path.unlink(),
    "a link": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    "a FIFO": lambda path: (path.unlink(), os.mkfifo(path)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found(volume: tuple[Path, StoredFile], tmp_path: Path, damage: str) -> None:
    place, file = volume
    DAMAGES[damage](next(place.glob("pages*")))
    with pytest.raises(DamagedError):
        verify(place, file)
    with pytest.raises(DamagedError):
        copied(place, file, tmp_path / "other")


FORGED: dict[str, Callable[[list[int], bytearray], object]] = {
    "beyond the end": lambda numbers, _: numbers.__setitem__(0, 1 << 40),
    "beyond what can be counted": lambda numbers, _: numbers.__setitem__(0, (1 << 64) - 1),
    "larger than a block": lambda numbers, _: numbers.__setitem__(1, MIB + 1),
    "very large": lambda numbers, _: numbers.__setitem__(1, 1 << 50),
    "another's bytes": lambda numbers, _: numbers.__setitem__(0, numbers[2]),
    "another's digest": lambda _, digests: digests.reverse(),
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_table_that_is_wrong_is_refused_even_if_it_was_signed(
    volume: tuple[Path, StoredFile], forged: str
) -> None:
    place, file = volume
    path = next(place.glob("pages*"))
    count = hashing.block_count(file.size_bytes)
    content = path.read_bytes()
    start = len(content) - count * 48
    numbers = [
        int.from_bytes(content[at : at + 8], "little") for at in range(start, start + count * 16, 8)
    ]
    digests = bytearray(content[start + count * 16 :])
    FORGED[forged](numbers, digests)
    table = b"".join(number.to_bytes(8, "little") for number in numbers) + digests
    path.write_bytes(content[:start] + table)
    with pytest.raises(DamagedError):
        verify(place, signed_anew(file, path, table))


BOMBS = {
    "zstd": [
        zstandard.compress(bytes(64 * MIB)),
        zstandard.compress(bytes(10)),
        zstandard.ZstdCompressor(write_content_size=False).compress(bytes(MIB)),
        b"no frame",
    ],
    "lz4": [
        lz4.block.compress(bytes(64 * MIB), store_size=False),
        lz4.block.compress(bytes(10), store_size=False),
        lz4.block.compress(bytes(MIB)),
        b"",
    ],
}


@pytest.mark.parametrize("codec", BOMBS)
@pytest.mark.parametrize("number", range(4))
def test_a_block_that_is_of_another_size_is_refused(
    tmp_path: Path, codec: str, number: int
) -> None:
    packed = BOMBS[codec][number] or b"\xff"
    assert len(packed) < MIB
    table = (0).to_bytes(8, "little") + len(packed).to_bytes(8, "little")
    table += hashing.of_block(packed)
    file = stored(tmp_path / "volume", bytes(MIB))
    (tmp_path / "volume" / NAME).unlink()
    suffix = {"zstd": "zst", "lz4": "lz4"}[codec]
    path = tmp_path / "volume" / f"{NAME}.{suffix}"
    path.write_bytes(packed + table)
    made = Compressed(codec, len(packed + table), "")  # type: ignore[arg-type]
    with pytest.raises(DamagedError, match="block"):
        verify(tmp_path / "volume", signed_anew(_with(file, made), path, table))


def _with(file: StoredFile, made: Compressed) -> StoredFile:
    return msgspec.structs.replace(file, compressed=made)


def signed_anew(file: StoredFile, path: Path, table: bytes) -> StoredFile:
    assert file.compressed is not None
    return _with(
        file, Compressed(file.compressed.codec, path.stat().st_size, hashing.of_bytes(table))
    )


def test_what_was_changed_since_it_was_hashed_is_not_compressed(tmp_path: Path) -> None:
    file = stored(tmp_path / "node", CONTENT)
    (tmp_path / "node" / NAME).write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(DamagedError, match="its hash differs"):
        copied(tmp_path / "node", file, tmp_path / "volume", "zstd")
    with pytest.raises(DamagedError, match="its hash differs"):
        copying.compress(tmp_path / "node", [file], Compression("lz4", 0), lambda: None)
    assert (tmp_path / "node" / NAME).exists()


def test_a_full_volume_is_named(tmp_path: Path) -> None:
    file = stored(tmp_path / "node", os.urandom(6 * MIB))
    (tmp_path / "volume").mkdir()
    with disks.small(tmp_path / "volume", 4 * MIB):
        target = tmp_path / "volume" / "there"
        with pytest.raises(StorageFullError, match=r"pages-1\.bin\.zst: No space left"):
            copied(tmp_path / "node", file, target, "zstd")


def test_a_volume_that_is_found_full_when_a_file_is_closed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS tells so."""
    file = stored(tmp_path / "node", CONTENT)
    real = os.close

    def close(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        real(descriptor)
        if path.is_relative_to(tmp_path / "volume") and path.is_file():
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "close", close)
    for codec in ("zstd", "none"):
        with pytest.raises(StorageFullError, match="pages-1"):
            copied(tmp_path / "node", file, tmp_path / "volume" / codec, codec)


def test_it_ends_when_nobody_wants_it(tmp_path: Path) -> None:
    file = stored(tmp_path / "node", os.urandom(20 * MIB))
    begun: list[int] = []

    def step() -> None:
        begun.append(threading.get_ident())
        if len(begun) == 5:
            raise copying.GivenUpError

    (tmp_path / "volume").mkdir()
    with pytest.raises(copying.GivenUpError):
        copying.copy(tmp_path / "node", [file], tmp_path / "volume", step, parse("zstd", 3))
    assert len(begun) < 10
