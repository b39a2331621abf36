"""The mappings of a process in CRIU's images, and which of them may be filled from outside. Pure.

Values of flags and status are those of mmap(2) on Linux and of CRIU's image.h.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from agent.criu import framing
from agent.criu.bundle import Bundle, messages
from agent.kernel.memory import PAGE_BYTES
from chrek.errors import DamagedError

HUGE_BYTES: Final = 2 << 20
_WRITE: Final = 2
_MAP_SHARED, _MAP_PRIVATE, _MAP_ANONYMOUS = 0x1, 0x2, 0x20
_MAP_GROWSDOWN, _MAP_LOCKED, _MAP_NORESERVE = 0x100, 0x2000, 0x4000
_HARMLESS: Final = _MAP_ANONYMOUS | _MAP_LOCKED | _MAP_NORESERVE
_REGULAR, _HEAP, _FILE_PRIVATE, _FILE_SHARED = 1 << 0, 1 << 5, 1 << 6, 1 << 7
_ANON_SHARED, _ANON_PRIVATE, _MEMFD = 1 << 8, 1 << 9, 1 << 14
_MADV_HUGEPAGE, _MADV_NOHUGEPAGE = 14, 15


@dataclass(frozen=True, slots=True)
class Area:
    """One mapping. shmid: the file or shared memory that is mapped, as CRIU numbers them; offset:
    where in it. madvise: bits by the numbers of madvise(2)."""

    start: int
    end: int
    offset: int
    shmid: int
    protection: int
    flags: int
    status: int
    madvise: int

    @property
    def size_bytes(self) -> int:
        """Of its addresses."""
        return self.end - self.start

    @property
    def private(self) -> bool:
        """An ordinary, writable private mapping, of a file or of none. Stacks that grow and huge
        pages of their own kind are none."""
        return (
            self.flags & ~_HARMLESS == _MAP_PRIVATE
            and self.protection & _WRITE != 0
            and self.status & ~_HEAP in (_REGULAR | _FILE_PRIVATE, _REGULAR | _ANON_PRIVATE)
        )

    @property
    def anonymous(self) -> bool:
        """Where nothing was written, it reads as zero."""
        return self.flags & _MAP_ANONYMOUS != 0 and self.status & _FILE_PRIVATE == 0

    @property
    def shared(self) -> bool:
        """A writable mapping of memory that processes share and no path leads to."""
        return (
            self.flags & ~_HARMLESS == _MAP_SHARED
            and self.protection & _WRITE != 0
            and self.status & (_ANON_SHARED | _MEMFD) != 0
            and self.status & ~(_REGULAR | _FILE_SHARED | _ANON_SHARED | _MEMFD) == 0
        )

    @property
    def memfd(self) -> bool:
        """shmid is the number of a file in files.img, and not of the memory itself."""
        return self.status & _MEMFD != 0

    @property
    def advisable(self) -> bool:
        """Whether huge pages may be asked for: nobody said anything about them yet."""
        said = self.madvise >> _MADV_HUGEPAGE & 3
        return self.private and self.anonymous and not said and self.size_bytes >= HUGE_BYTES

    def inherited(self, parent: "Area") -> bool:
        """Whether CRIU has a child keep the pages of its parent's mapping that are equal in both:
        it gives them to the parent before that forks."""
        both = _MAP_GROWSDOWN | _MAP_ANONYMOUS
        return (
            (self.start, self.end) == (parent.start, parent.end)
            and self.flags & parent.flags & _MAP_PRIVATE != 0
            and (self.flags ^ parent.flags) & both == 0
            and (self.flags & _MAP_ANONYMOUS != 0 or self.shmid == parent.shmid)
        )


class Areas:
    """All mappings of a process, by address. huge_pages: it did not say that it wants none."""

    def __init__(self, areas: Sequence[Area], *, huge_pages: bool = True) -> None:
        self.huge_pages = huge_pages
        self.all = sorted(areas, key=lambda area: area.start)
        self._starts = [area.start for area in self.all]

    def at(self, address: int) -> Area | None:
        """The mapping that has `address`."""
        number = bisect_right(self._starts, address) - 1
        if number >= 0 and address < self.all[number].end:
            return self.all[number]
        return None


def of(bundle: Bundle, content: bytes) -> Areas:
    """Of an image `mm-PID.img`; raises DamagedError."""
    entry = _entry(bundle, content)
    found = [
        Area(
            vma.start,
            vma.end,
            vma.pgoff,
            vma.shmid,
            vma.prot,
            vma.flags,
            vma.status,
            vma.madv if vma.HasField("madv") else 0,
        )
        for vma in entry.vmas
    ]
    for area in found:
        if not 0 <= area.start < area.end or (area.start | area.end) % PAGE_BYTES:
            raise DamagedError("an image of CRIU's has a mapping that cannot be")
    return Areas(found, huge_pages=not entry.thp_disabled)


def advised(bundle: Bundle, content: bytes, starts: Sequence[int]) -> bytes:
    """The image with huge pages asked for in the mappings that begin at `starts`."""
    entry = _entry(bundle, content)
    wanted = set(starts)
    for vma in entry.vmas:
        if vma.start in wanted:
            vma.madv |= 1 << _MADV_HUGEPAGE
    return framing.joined(content, [entry])


def _entry(bundle: Bundle, content: bytes) -> Any:
    found = list(framing.entries(content, messages(bundle.path, "mm_pb2").mm_entry))
    if len(found) != 1:
        raise DamagedError(f"an image of CRIU's describes the memory of {len(found)} processes")
    return found[0]
