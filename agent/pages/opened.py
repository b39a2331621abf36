"""A checkpoint's page files, opened for a restore, after their index was compared with the images:
nothing is written anywhere that CRIU's own images do not describe as memory of these processes.
"""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from itertools import groupby

from agent.criu.bundle import Bundle
from agent.pages import areas, index
from agent.pages.areas import Area, Areas
from agent.pages.index import Extents, Index, Opened
from agent.store import compressed, contents, hashing
from agent.trust.gate import Passed
from chrek.errors import DamagedError
from chrek.manifest import StoredFile
from chrek.names import PAGES_INDEX, PAGES_PREFIX


@contextmanager
def opened(directory: int, files: Collection[StoredFile]) -> Iterator[list[Opened]]:
    """Of the checkpoint whose directory is open as `directory`; none, if it has none. Raises
    DamagedError."""
    stored = {file.name: file for file in files if file.name.startswith(PAGES_PREFIX)}
    found = next((file for file in files if file.name == PAGES_INDEX), None)
    listed = _index(directory, found) if found else Index([])
    if sorted(stored) != sorted(each.name for each in listed.files):
        raise DamagedError("the index of pages is of another checkpoint")
    with ExitStack() as stack:
        result: list[Opened] = []
        for each in listed.files:
            file = stored[each.name]
            if len(each.digests) != hashing.DIGEST_BYTES * hashing.block_count(file.size_bytes):
                raise DamagedError(f"the index of pages has not a hash for all of {each.name}")
            if hashing.of_blocks(each.digests) != file.digest:
                raise DamagedError(f"the index of pages has other hashes for {each.name}")
            extents = Extents(each.extents)
            index.check_order(each.name, extents, file.size_bytes)
            descriptor, table = stack.enter_context(compressed.opened(directory, file))
            result.append(Opened(each, extents, descriptor, file.size_bytes, table))
        yield result


def _index(directory: int, file: StoredFile) -> Index:
    if file.size_bytes > index.MAX_BYTES:
        raise DamagedError(f"the index of pages has {file.size_bytes} bytes")
    return index.decode(contents.read_verified(directory, file))


def check(bundle: Bundle, pages: Collection[Opened], passed: Passed) -> dict[str, bytes]:
    """Raise DamagedError unless every byte goes to memory that the images give to a live process,
    and none to the same place as another. Gives the images, by name, that have to ask for huge
    pages. passed: with `Opened.mappings` among its images."""
    changed: dict[str, bytes] = {}
    for name, group in groupby(sorted(pages, key=_mappings), key=_mappings):
        of_one = list(group)
        if of_one[0].file.pid not in passed.threads or name not in passed.images:
            raise DamagedError(f"the index of pages is for {name}, of no process that lives")
        own = areas.of(bundle, passed.images[name])
        _check_places(of_one, own)
        starts = [start for each in of_one for start in each.file.huge]
        for start in starts:
            area = own.at(start)
            if area is None or area.start != start or not (own.huge_pages and area.advisable):
                raise DamagedError("the index of pages wants huge pages where none can be")
        if starts:
            changed[name] = areas.advised(bundle, passed.images[name], starts)
    return changed


def _mappings(page_file: Opened) -> str:
    return page_file.mappings


def _check_places(pages: Collection[Opened], own: Areas) -> None:
    places = sorted(
        (extent.there, extent.size, each.file.shared) for each in pages for extent in each.extents
    )
    at = 0
    area: Area | None = None
    for there, size, shared in places:
        if there < at:
            raise DamagedError("the index of pages has two bytes for one place")
        at = there
        while at < there + size:
            if area is None or not area.start <= at < area.end:
                area = own.at(at)
            if area is None:
                raise DamagedError("the index of pages has bytes for a place that is no memory")
            if not (area.shared if shared else area.private):
                raise DamagedError(
                    "the index of pages has bytes for memory that is not to be written"
                )
            at = min(area.end, there + size)
