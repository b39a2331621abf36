"""Arithmetic of pages, against sets of pages."""

from hypothesis import given
from hypothesis import strategies as st

from agent.pages.choice import without
from agent.pages.cow import joined
from agent.pages.index import Extent, Extents, packed
from agent.pages.pagemap import Run
from agent.store import hashing

PAGE = 4096
BLOCK = hashing.BLOCK_BYTES


@st.composite
def runs(draw: st.DrawFn) -> list[Run]:
    """As CRIU has them: by address, one behind the other in the file."""
    found: list[Run] = []
    at = offset = 0
    for gap, size in draw(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 6)), max_size=8)):
        found.append(Run(at + gap * PAGE, offset, size * PAGE))
        at, offset = found[-1].end, offset + size * PAGE
    return found


INTERVALS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 6)).map(
        lambda found: (found[0] * PAGE, (found[0] + found[1]) * PAGE)
    ),
    max_size=8,
)


def pages(found: list[Run]) -> dict[int, int]:
    """Address of each page -> its offset."""
    return {run.address + at: run.offset + at for run in found for at in range(0, run.size, PAGE)}


@given(runs(), INTERVALS)
def test_what_is_left_is_what_is_in_no_interval(
    found: list[Run], gone: list[tuple[int, int]]
) -> None:
    left = without(found, joined(gone))
    addresses = {address for start, end in gone for address in range(start, end, PAGE)}
    assert pages(left) == {a: o for a, o in pages(found).items() if a not in addresses}
    assert all(run.size for run in left)


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 700)), max_size=6),
    st.integers(0, 12),
)
def test_extents_of_a_block_are_those_of_its_bytes(
    spans: list[tuple[int, int]], number: int
) -> None:
    extents: list[Extent] = []
    offset = 0
    for gap, size in spans:
        offset += gap * PAGE
        extents.append(Extent(offset + (1 << 40), offset, size * PAGE))
        offset += size * PAGE
    found = Extents(packed(extents))
    assert list(found) == extents

    start, end = number * BLOCK, (number + 1) * BLOCK
    within = list(found.within(start, end))
    assert all(start <= part.offset and part.offset + part.size <= end for part in within)
    assert all(part.there == part.offset + (1 << 40) for part in within)
    bytes_of = sum(max(0, min(end, e.offset + e.size) - max(start, e.offset)) for e in extents)
    assert sum(part.size for part in within) == bytes_of
    assert (number in set(found.blocks())) == bool(bytes_of)
    assert sorted(set(found.blocks())) == list(found.blocks())
