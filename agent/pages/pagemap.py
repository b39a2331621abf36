"""CRIU's `pagemap-*.img`: which pages are in `pages-N.img`, one behind the other. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from agent.criu import framing
from agent.criu.bundle import Bundle, messages
from agent.kernel.memory import PAGE_BYTES
from chrek.errors import DamagedError

_LAZY, _PRESENT = 2, 4


class Run(NamedTuple):
    """Pages that are neighbours in memory and in the file. address: in shared memory, the offset
    there. flags: CRIU's."""

    address: int
    offset: int
    size: int
    flags: int = _PRESENT

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.address + self.size


@dataclass(frozen=True, slots=True)
class PageMap:
    """One image. number: N of its `pages-N.img`. runs: by address."""

    number: int
    runs: list[Run]

    @property
    def size_bytes(self) -> int:
        """Of the file with the pages."""
        return self.runs[-1].offset + self.runs[-1].size if self.runs else 0


def read(bundle: Bundle, content: bytes) -> PageMap | None:
    """Raises DamagedError. None: there are pages in it that are elsewhere."""
    module = messages(bundle.path, "pagemap_pb2")
    head, rest = framing.split(content)
    number = module.pagemap_head.FromString(head).pages_id
    runs: list[Run] = []
    offset = end = 0
    for entry in framing.entries(rest, module.pagemap_entry):
        if not entry.flags & _PRESENT or entry.flags & ~(_PRESENT | _LAZY):
            return None
        size = (entry.nr_pages or entry.compat_nr_pages) * PAGE_BYTES
        if entry.vaddr < end or entry.vaddr % PAGE_BYTES or size == 0:
            raise DamagedError("an image of CRIU's has its pages in no order")
        end = entry.vaddr + size
        if runs and runs[-1].end == entry.vaddr and runs[-1].flags == entry.flags:
            runs[-1] = runs[-1]._replace(size=runs[-1].size + size)
        else:
            runs.append(Run(entry.vaddr, offset, size, entry.flags))
        offset += size
    return PageMap(number, runs)


def written(bundle: Bundle, content: bytes, runs: Sequence[Run]) -> bytes:
    """The image with other runs; their offsets follow from their order."""
    module = messages(bundle.path, "pagemap_pb2")
    head, rest = framing.split(content)
    return framing.joined(
        content, [module.pagemap_head.FromString(head), *_entries(module, rest, runs)]
    )


def _entries(module: Any, rest: bytes, runs: Sequence[Run]) -> Iterator[Any]:
    """In the form that this CRIU writes: since 4.2 the number of pages is another field."""
    before = next(framing.entries(rest, module.pagemap_entry), None)
    for run in runs:
        entry = module.pagemap_entry(vaddr=run.address, compat_nr_pages=0, flags=run.flags)
        if before is not None and before.HasField("nr_pages"):
            entry.nr_pages = run.size // PAGE_BYTES
        else:
            entry.compat_nr_pages = run.size // PAGE_BYTES
        yield entry
