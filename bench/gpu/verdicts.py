"""What is to be reached, and whether it was; and what a figure is to be seen beside."""

from collections.abc import Iterator, Sequence
from typing import Final

from bench.gpu.report import GIB, moved_rate, place, titled
from bench.memory import rows as memory_rows
from bench.results import Row

PAGES_GIB_PER_SECOND: Final = 20.0
PAGES_SHARE: Final = 0.5
STOOD_RATIO: Final = 1.2
MODEL_SECONDS: Final = 3.0
_MODEL: Final = "Qwen3-8B-shaped"
_FRESH: Final = "preadv, fresh huge pages"


def near(rows: Sequence[Row]) -> Iterator[str]:
    """How near the driver's copies are to torch's of pageable memory, whose pages are there."""
    for name, case, phase in (
        ("GPU to host", "checkpoint", "cuda-checkpoint"),
        ("host to GPU", "restore", "cuda-restore"),
    ):
        kinds = [f"{name}, pageable, {pages} pages" for pages in ("small", "huge")]
        best = max((moved_rate(row) for row in rows if row["system"] in kinds), default=None)
        for row in rows:
            rate = row.get("GiB_per_second", {}).get(phase)
            if best is not None and row["case"] == case and rate is not None:
                what = f"{titled(row)}, {place(row)}"
                told = f"{rate:.2f} GiB/s, {rate / best:.2f} of a pageable copy ({best:.2f})"
                yield f"{what:<60} {name}: {told}"


def gains(rows: Sequence[Row]) -> Iterator[str]:
    """How much faster a restore is from the node's copy than from the volume's disk."""
    done = [row for row in rows if row.get("read_from") and row["total_seconds"] is not None]
    for row in done:
        volume = _same(done, row, read_from="volume")
        if row["read_from"] == "node" and volume is not None:
            node_seconds, volume_seconds = row["total_seconds"], volume["total_seconds"]
            yield (
                f"{row['program']}: {node_seconds:.2f} s from the node's copy ({row['cache']}), "
                f"{volume_seconds:.2f} s from the volume ({volume['cache']}), "
                f"{volume_seconds / node_seconds:.2f} times as fast"
            )


def verdicts(rows: Sequence[Row]) -> Iterator[str]:
    """Of what is to be reached, what this bench can tell; memory without a GPU is moved by as many
    threads as the limits."""
    for row in rows:
        ours = row["system"].startswith("chrek") and row["case"] in ("checkpoint", "restore")
        if not ours or row["total_seconds"] is None or row.get("threads"):
            continue
        what = titled(row)
        if row["case"] == "checkpoint":
            bare = _same(rows, row, system="criu") if row.get("program") else None
            if bare is not None:
                ratio = row["stood_still_seconds"] / bare["stood_still_seconds"]
                yield _verdict(what, "source stood still, times bare", ratio, most=STOOD_RATIO)
        elif row["cache"] != "disk":
            yield from _of_restore(rows, row, what)


def _of_restore(rows: Sequence[Row], row: Row, what: str) -> Iterator[str]:
    if pages := row["phases"].get("pages"):
        moved = row.get("image_bytes", row["bytes"]) / pages / GIB
        yield _verdict(what, "pages, GiB/s", moved, least=PAGES_GIB_PER_SECOND)
        fresh = [
            moved_rate(each)
            for each in rows
            if (each["system"], each["cache"]) == (_FRESH, row["cache"])
        ]
        if fresh:
            share = moved / max(fresh)
            yield _verdict(what, f"pages, of {_FRESH}", share, least=PAGES_SHARE)
    if row.get("program") == _MODEL:
        yield _verdict(what, "running again, s", row["total_seconds"], most=MODEL_SECONDS)
    if row.get("program") and row["bytes"] >= memory_rows.LARGE and row["peak_bytes"]:
        peak, most = row["peak_bytes"] / 1e6, memory_rows.OWN_MB
        yield _verdict(what, "own memory, MB", peak, most=most)


def _verdict(
    what: str, figure: str, value: float, *, least: float | None = None, most: float | None = None
) -> str:
    if most is not None:
        reached, bound = value <= most, f"at most {most:g}"
    else:
        assert least is not None
        reached, bound = value >= least, f"at least {least:g}"
    verdict = "reached" if reached else "MISSED"
    return f"{what:<52} {figure:<36} {value:7.2f}  {bound:<13} {verdict}"


def _same(rows: Sequence[Row], row: Row, **but: object) -> Row | None:
    """The first of the same case and program that has these members instead."""
    wanted = {"case": row["case"], "program": row["program"]} | but
    for each in rows:
        if each["total_seconds"] is not None and wanted.items() <= each.items():
            return each
    return None
