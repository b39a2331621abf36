"""The benchmark of large memory: what it plans, where its checkpoints lie, what it tells."""

import ctypes
import mmap
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.criu import bundle as bundles
from bench import caches, entry, limits, results, workload
from bench.bare import Bare
from bench.failures import SideFailedError
from bench.memory import node, plan, rounds, rows
from bench.memory.plan import Room
from bench.memory.rounds import Case, Found
from bench.node_side import Node
from bench.results import Row
from bench.side import Checkpointed, Restored
from tests.chaos import disks

GIB = 1 << 30
PLENTY = Room(1 << 50, 1 << 50)
ALL = ("page", "disk", "tmpfs")


def test_random_bytes_are_restored_from_everywhere_others_from_the_page_cache() -> None:
    names = [each.name for each in plan.planned([GIB], ["random", "zero"], ALL, 3, PLENTY)]
    assert names == [
        "1024 MiB, random, page/disk",
        "1024 MiB, zero, page",
        "1024 MiB, random, tmpfs",
    ]


def test_large_sizes_have_fewer_rounds_but_one() -> None:
    sizes = [8 * GIB, GIB, 4 * GIB]
    cases = [each.case for each in plan.planned(sizes, ["random"], ["page"], 3, PLENTY)]
    assert [(case.size_bytes // GIB, case.rounds) for case in cases] == [(1, 3), (4, 2), (8, 1)]
    (small,) = plan.planned([8 * GIB], ["random"], ["page"], 1, PLENTY)
    assert small.case.rounds == 1


@pytest.mark.parametrize(
    ("memory", "disk", "sides"),
    [(26, 100, 2), (22, 100, 1), (16, 100, 0), (26, 16, 1), (26, 8, 0)],
)
def test_sides_take_turns_only_where_both_checkpoints_have_room(
    memory: int, disk: int, sides: int
) -> None:
    room = Room(memory * GIB, disk * GIB)
    (made,) = plan.planned([8 * GIB], ["random"], ["page"], 1, room)
    assert made.sides == sides


def test_a_tmpfs_needs_memory_and_no_disk() -> None:
    (made,) = plan.planned([8 * GIB], ["random"], ["tmpfs"], 1, Room(26 * GIB, 2 * GIB))
    assert made.sides == 2
    (made,) = plan.planned([8 * GIB], ["random"], ["tmpfs"], 1, Room(16 * GIB, 100 * GIB))
    assert made.sides == 0


def test_threads_are_tried_at_the_largest_size_at_which_sides_take_turns() -> None:
    room = Room(22 * GIB, 100 * GIB)
    every = plan.swept(list(plan.planned([GIB, 4 * GIB, 8 * GIB], ["random"], ALL, 3, room)), [1])
    swept = [each.name for each in every if each.case.threads == (0, 1)]
    assert swept == ["4096 MiB, random, page/disk"]


def test_a_dropped_checkpoint_is_on_disk_alone(work: Path) -> None:
    place = work / "below" / "pages"
    place.parent.mkdir()
    place.write_bytes(os.urandom(8 << 20))
    (work / "link").symlink_to(place)
    assert cached(place) > 0.99
    caches.drop(work)
    assert cached(place) < 0.01


def cached(place: Path) -> float:
    """Which part of a file is in the page cache."""
    size = place.stat().st_size
    with place.open("rb") as file, mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE) as mapped:
        pages = (ctypes.c_ubyte * (size // mmap.PAGESIZE))()
        first = ctypes.c_ubyte.from_buffer(mapped)
        asked = ctypes.CDLL(None).mincore(
            ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(size), pages
        )
        del first
    assert asked == 0
    return sum(page & 1 for page in pages) / len(pages)


def test_a_tmpfs_is_there_for_the_block(work: Path) -> None:
    with caches.tmpfs(work / "tmpfs") as place:
        assert place.is_mount()
        (place / "file").write_text("kept in memory")
        assert not caches.has_huge_pages(place)
    assert not (work / "tmpfs").exists()


def test_a_tmpfs_is_of_huge_pages_where_the_kernel_has_them(work: Path) -> None:
    has_any = Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled").exists()
    with caches.tmpfs(work / "tmpfs", huge=True) as place:
        assert place.is_mount()
        assert caches.has_huge_pages(place) == has_any


def test_every_limit_is_measured_with_every_number_of_threads(work: Path) -> None:
    size = 2 * limits.STRIPE_BYTES
    found = list(limits.rows(work, size, [1, 2]))
    names = [*limits.ALONE, *limits.TOGETHER]
    assert [(row["system"], row["threads"], row["cache"]) for row in found] == [
        *((name, count, "page") for count in (1, 2) for name in names),
        *((name, count, "disk") for count in (1, 2) for name in limits.COLD),
    ]
    assert all(row["case"] == "limit" and row["total_seconds"] > 0 for row in found)
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("data", ["random", "half-zero", "zero"])
def test_the_service_comes_back_with_the_memory_it_had(work: Path, data: str) -> None:
    side = Bare(work, bundles.find())
    try:
        case = Case(33 << 20, data, ["page", "disk"], 2)
        found = rounds.found([side], case, workload.installed(work))["criu"]
    finally:
        entry.closed(side)
    counts = {key: len(samples) for key, samples in found.restored.items()}
    assert counts == {("page", 0): 2, ("disk", 0): 1}


def pages_of(mebibytes: int, data: str) -> list[bytes]:
    """What the service has in its memory."""
    code = workload.SERVICE.read_text().partition("TOKEN =")[0]
    made: dict[str, bytes] = {}
    exec(code.replace("sys.argv", repr(["", str(mebibytes), "", data])), made)
    memory = made["MEMORY"]
    return [bytes(memory[at : at + 4096]) for at in range(0, len(memory), 4096)]


def test_random_memory_has_no_page_twice() -> None:
    found = pages_of(130, "random")
    assert len(set(found)) == len(found) == 130 << 8


def test_half_of_the_memory_is_zero_to_the_byte() -> None:
    found = pages_of(33, "half-zero")
    half = (33 << 20) // 2 // 4096
    assert set(found[:half]) == {bytes(4096)}
    assert len(set(found[half:])) == len(found) - half


@pytest.fixture
def on_node(work: Path) -> Iterator[Node]:
    with caches.tmpfs(work / "tmpfs") as tmpfs:
        side = Node(work / "node", {"page": work / "node" / "kept", "tmpfs": tmpfs / "kept"})
        yield side
        entry.closed(side)


def test_a_checkpoint_is_restored_from_the_volume_and_from_a_nodes_directories(
    work: Path, on_node: Node
) -> None:
    case = Case(33 << 20, "random", node.CACHED, 1)
    found = list(node.measured(on_node, case, workload.installed(work)))
    assert [(row["case"], row["cache"], row.get("read_from")) for row in found] == [
        ("fill", "tmpfs", None),
        ("checkpoint", "page", None),
        ("restore", "disk", "volume"),
        ("restore", "page", "node"),
        ("restore", "tmpfs", "node"),
    ]
    assert all(row["total_seconds"] > 0 for row in found)
    assert all(row["peak_bytes"] > 1 << 20 for row in found[1:])
    assert node.gains(found).row_count == 3
    assert len(list(node.fills(found))) == 1
    assert rows.restores(found).row_count == 0
    assert not list((work / "tmpfs").iterdir())


def test_a_restore_that_does_not_find_the_copy_it_is_to_read_is_none(
    work: Path, on_node: Node
) -> None:
    service = workload.made(33 << 20, workload.installed(work))
    digest, _ = rounds.checkpointed(on_node, service)
    shutil.rmtree(work / "node" / "kept")
    with pytest.raises(SideFailedError, match=r"found \{'miss': 1\}"):
        rounds.restored(on_node, service, digest, "page")
    on_node.discard()


def test_a_nodes_directory_without_room_is_told(
    work: Path, on_node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = work / "small"
    with disks.small(small, 8 << 20):
        side = Node(work / "node", {"tmpfs": small / "kept"})
        service = workload.made(33 << 20, workload.installed(work))
        with pytest.raises(SideFailedError, match="no room"):
            rounds.checkpointed(side, service)
        side.discard()


@pytest.mark.parametrize(
    ("memory", "disk", "holds"), [(18, 14, True), (16, 14, False), (18, 12, False)]
)
def test_a_nodes_copies_need_memory_and_disk(memory: int, disk: int, holds: bool) -> None:
    assert plan.holds_copies(4 * GIB, Room(memory * GIB, disk * GIB)) is holds


def restored(size: int, system: str, seconds: float, **more: object) -> Row:
    engine = {"engine_seconds": seconds, "threads": 0, "rounds": 1}
    return results.row("restore", size, system, total_seconds=seconds, **(engine | more))


def test_rows_tell_medians_by_cache_and_number_of_threads() -> None:
    case = Case(GIB, "random", ["page", "disk"], 3, (0, 1))
    samples = [Restored(s + 0.5, {"container": 0.1, "pages": s}, s + 0.2) for s in (3.0, 1.0, 2.0)]
    found = {"chrek": Found(Checkpointed(4.0, 1.0, {"dump": 1.0}), {("disk", 1): samples})}
    checkpoint, restore = rows.rows(case, found, by_turns=True)
    assert (checkpoint["case"], checkpoint["frozen_seconds"]) == ("checkpoint", 1.0)
    assert (restore["cache"], restore["threads"], restore["rounds"]) == ("disk", 1, 3)
    assert restore["total_seconds"] == 2.5
    assert restore["engine_seconds"] == pytest.approx(2.1)
    assert restore["phases"]["pages"] == 2.0


def test_it_tells_whether_chrek_is_three_times_as_fast() -> None:
    found = [restored(4 * GIB, "criu", 6.0), restored(4 * GIB, "chrek", 2.5, engine_seconds=1.9)]
    total, engine = rows.verdicts(found)
    assert "2.40" in total
    assert "MISSED" in total
    assert "3.16" in engine
    assert "reached" in engine


def test_it_tells_how_much_memory_chrek_itself_takes_in_large_restores() -> None:
    small = restored(GIB, "chrek", 1.0, peak_bytes=400_000_000)
    large = restored(16 * GIB, "chrek", 16.0, peak_bytes=290_000_000)
    told, straight = rows.verdicts([small, large])
    assert "reached" in straight
    assert "16384 MiB, own threads, own memory, MB" in told
    assert told.split()[-5:] == ["290.00", "at", "most", "300", "reached"]
    assert rows.own_megabytes(small) == "400"
    assert rows.own_megabytes(restored(GIB, "criu", 1.0)) == "-"


def test_it_tells_whether_cost_is_a_straight_line() -> None:
    straight = [restored(GIB, "chrek", 0.5), restored(8 * GIB, "chrek", 4.1)]
    bent = [restored(GIB, "chrek", 0.5), restored(8 * GIB, "chrek", 6.0)]
    assert ["reached" in line for line in rows.verdicts(straight)] == [True]
    assert ["reached" in line for line in rows.verdicts(bent)] == [False]
    assert rows.straight(bent).row_count == 1
