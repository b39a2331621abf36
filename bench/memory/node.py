"""What a node's own directory gains: one checkpoint, restored from the volume that the page cache
has forgotten, from the directory on the disk, and from one on a tmpfs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from rich.table import Table

from bench import results, tables, workload
from bench.memory import rounds, rows
from bench.memory.rounds import Case, Found
from bench.node_side import Node
from bench.results import Cache, Row

CACHED: Final[Sequence[Cache]] = ("disk", "page", "tmpfs")
"""The volume on the disk, the node's directory on it, and one in memory."""
_GIB: Final = 1 << 30


def measured(side: Node, case: Case, program: Path) -> Iterator[Row]:
    """Rows of a capture, of restores from each of CACHED, and of the copy from the volume to the
    node that an agent makes after a miss. Raises SideFailedError."""
    service = workload.made(case.size_bytes, program, case.data)
    try:
        digest, made = rounds.checkpointed(side, service)
        found = Found(made)
        for cache in case.cached:
            if cache == "tmpfs":
                took = side.fill(cache)
                size_bytes = case.size_bytes
                yield results.row("fill", size_bytes, side.name, cache=cache, total_seconds=took)
            samples = [rounds.restored(side, service, digest, cache) for _ in range(case.rounds)]
            found.restored[cache, 0] = samples
        checkpoint, *restores = rows.rows(case, {side.name: found}, by_turns=False)
        yield checkpoint | {"cache": "page"}
        yield from restores
    finally:
        side.discard()


def gains(found: Sequence[Row]) -> Table:
    """A line for each restore, beside that of the same checkpoint from the volume."""
    made = tables.table(
        "the node's own directory",
        ("read from", "cache"),
        (
            *("MiB", "rounds", "restore, s", "engine, s", "of which pages", "GiB/s"),
            *("volume / it", "/ engine"),
        ),
    )
    for row in _restores(found):
        volume = next(
            each
            for each in _restores(found)
            if each["read_from"] == "volume" and each["bytes"] == row["bytes"]
        )
        total, engine = row["total_seconds"], row["engine_seconds"]
        made.add_row(
            *(row["read_from"], row["cache"], str(row["bytes"] >> 20), str(row["rounds"])),
            *(f"{total:.2f}", f"{engine:.2f}", f"{row['phases'].get('pages', 0):.2f}"),
            f"{row['bytes'] / engine / _GIB:.2f}",
            f"{volume['total_seconds'] / total:.2f}",
            f"{volume['engine_seconds'] / engine:.2f}",
        )
    return made


def fills(found: Sequence[Row]) -> Iterator[str]:
    """How long a node that had no copy took to have one."""
    for row in found:
        if row["case"] == "fill":
            rate = row["bytes"] / row["total_seconds"] / _GIB
            what = f"{row['bytes'] >> 20} MiB from the volume to the node ({row['cache']})"
            yield f"{what:<56} {row['total_seconds']:6.2f}  s, {rate:.2f} GiB/s"


def _restores(found: Sequence[Row]) -> list[Row]:
    return [row for row in found if row["case"] == "restore" and "read_from" in row]
