"""An index that wants to write where it should not, signed or not, is refused before CRIU runs."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from agent.criu import rpc
from agent.pages import areas, index
from agent.pages.areas import Area
from agent.pages.index import Extent, Extents, Index, PageFile
from agent.store import hashing
from agent.store.checkpoints import Stored
from chrek import manifest as manifests
from chrek.errors import DamagedError
from chrek.manifest import StoredFile
from chrek.names import MANIFEST, PAGES_INDEX, SIGNATURE
from tests.pages.test_faults import changed, cold, held
from tests.survival.lives import Lives

__all__ = ["held"]
PAGE = 4096
Forge = Callable[[PageFile, Sequence[Area]], PageFile]


def placed(file: PageFile, *extents: Extent) -> PageFile:
    return msgspec.structs.replace(file, extents=index.packed(extents))


def first(file: PageFile) -> Extent:
    return next(iter(Extents(file.extents)))


def into(wanted: Callable[[Area], bool]) -> Forge:
    """One page of the file into the first mapping that is `wanted`."""

    def forged(file: PageFile, found: Sequence[Area]) -> PageFile:
        area = next(area for area in found if wanted(area))
        return placed(file, Extent(area.start, 0, PAGE))

    return forged


def last_before_a_gap(found: Sequence[Area]) -> Area:
    starts = {area.start for area in found}
    return next(area for area in found if area.private and area.end not in starts)


FORGERIES: dict[str, Forge] = {
    "another process": lambda file, _: msgspec.structs.replace(file, pid=file.pid + 77),
    "chrek-init": lambda file, _: msgspec.structs.replace(file, pid=1),
    "the reaper": lambda file, _: msgspec.structs.replace(file, pid=file.pid - 1),
    "where nothing is": lambda file, _: placed(file, Extent(PAGE, 0, PAGE)),
    "beyond its end": lambda file, found: placed(
        file, Extent(last_before_a_gap(found).end - PAGE, 0, 2 * PAGE)
    ),
    "all of it": lambda file, _: placed(file, Extent(0, 0, 1 << 47)),
    "no page": lambda file, _: placed(file, Extent(first(file).there, 0, 0)),
    "half a page": lambda file, _: placed(file, Extent(first(file).there, 0, PAGE // 2)),
    "between pages": lambda file, _: placed(file, Extent(first(file).there + 8, 0, PAGE)),
    "twice": lambda file, _: placed(
        file, Extent(first(file).there, 0, PAGE), Extent(first(file).there, PAGE, PAGE)
    ),
    "out of order": lambda file, _: placed(
        file, Extent(first(file).there, PAGE, PAGE), Extent(first(file).there + PAGE, 0, PAGE)
    ),
    "beyond the file": lambda file, _: placed(file, Extent(first(file).there, 1 << 40, PAGE)),
    "beyond all addresses": lambda file, _: placed(file, Extent((1 << 64) - PAGE, 0, PAGE)),
    "code": into(lambda area: area.protection & 4 != 0),
    "read-only": into(lambda area: area.protection == 1),
    "a stack": into(lambda area: area.flags & 0x100 != 0),
    "a file's memory": into(lambda area: area.status & (1 << 7) != 0 and not area.memfd),
    "shared as private": into(lambda area: area.shared),
    "private as shared": lambda file, _: msgspec.structs.replace(file, shared=True),
    "huge pages for a stack": lambda file, found: msgspec.structs.replace(
        file, huge=[next(area.start for area in found if area.flags & 0x100)]
    ),
    "huge pages within": lambda file, _: msgspec.structs.replace(
        file, huge=[first(file).there + PAGE]
    ),
    "fewer hashes": lambda file, _: msgspec.structs.replace(file, digests=file.digests[:-32]),
    "other hashes": lambda file, _: msgspec.structs.replace(file, digests=file.digests[::-1]),
    "odd places": lambda file, _: msgspec.structs.replace(file, extents=file.extents[:-1]),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_it_is_refused_before_anything_is_written(
    lives: Lives, held: tuple[Stored, Any], forgery: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, told = held
    path = stored.path / PAGES_INDEX
    images = stored.path / "criu"

    def forged(file: PageFile) -> PageFile:
        if file.shared:
            return file
        content = (images / f"mm-{file.pid}.img").read_bytes()
        return FORGERIES[forgery](file, areas.of(lives.machine.means().bundle, content).all)

    def never(*_: Any) -> None:
        raise AssertionError("CRIU ran")

    monkeypatch.setattr(rpc, "restore", never)
    with changed(path), changed(stored.path / MANIFEST), changed(stored.path / SIGNATURE):
        files = index.decode(path.read_bytes()).files
        path.write_bytes(index.encode(Index([forged(file) for file in files])))
        sign(stored, lives)
        with pytest.raises(DamagedError, match="the index of pages"):
            lives.restore(stored, "copy")
    assert cold(lives, "copy", told)


@pytest.mark.parametrize("gone", ["index", "a file"])
def test_a_manifest_that_lacks_one_of_them_is_refused(
    lives: Lives, held: tuple[Stored, Any], gone: str
) -> None:
    stored, told = held
    with changed(stored.path / MANIFEST), changed(stored.path / SIGNATURE):
        sign(stored, lives, without=PAGES_INDEX if gone == "index" else ".bin")
        with pytest.raises(DamagedError, match="the index of pages"):
            lives.restore(stored, "copy")
    assert cold(lives, "copy", told)


def sign(stored: Stored, lives: Lives, without: str = "-") -> None:
    """As only the agent could."""
    content = (stored.path / PAGES_INDEX).read_bytes()
    entry = StoredFile(PAGES_INDEX, len(content), hashing.of_bytes(content))
    files = [file for file in stored.manifest.files if file.name != PAGES_INDEX] + [entry]
    kept = [file for file in files if not file.name.endswith(without)]
    found = manifests.decode((stored.path / MANIFEST).read_bytes())
    encoded = manifests.encode(msgspec.structs.replace(found, files=kept))
    (stored.path / MANIFEST).write_bytes(encoded)
    (stored.path / SIGNATURE).write_bytes(lives.machine.keys().sign(encoded))
