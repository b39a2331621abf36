"""The benchmark of large memory: what it plans, where its checkpoints lie, what it tells."""

import ctypes
import mmap
import os
from pathlib import Path

import pytest

from agent.criu import bundle as bundles
from bench import caches, entry, limits, results, workload
from bench.bare import Bare
from bench.memory import plan, rounds, rows
from bench.memory.plan import Room
from bench.memory.rounds import Case, Found
from bench.results import Row
from bench.side import Checkpointed, Restored

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
    assert not (work / "tmpfs").exists()


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


def test_random_memory_has_no_page_twice() -> None:
    code = (workload.SERVICE.read_text().partition("TOKEN =")[0]).replace("sys.argv[1]", "'130'")
    made: dict[str, bytes] = {}
    exec(code.replace("sys.argv", "['']"), made)
    memory = made["MEMORY"]
    pages = {bytes(memory[at : at + 4096]) for at in range(0, len(memory), 4096)}
    assert len(pages) == len(memory) // 4096


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


def test_it_tells_whether_cost_is_a_straight_line() -> None:
    straight = [restored(GIB, "chrek", 0.5), restored(8 * GIB, "chrek", 4.1)]
    bent = [restored(GIB, "chrek", 0.5), restored(8 * GIB, "chrek", 6.0)]
    assert ["reached" in line for line in rows.verdicts(straight)] == [True]
    assert ["reached" in line for line in rows.verdicts(bent)] == [False]
    assert rows.straight(bent).row_count == 1
