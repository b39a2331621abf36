"""What was measured, as rows of JSON and as tables."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich.table import Table

from bench import figures, results, tables
from bench.memory.rounds import Case, Found
from bench.results import Row
from bench.side import Restored

GIB: Final = 1 << 30
TIMES_AS_FAST: Final = 3.0
"""To be reached at 4 GiB of random bytes from the page cache, on two cores."""
STRAIGHT: Final = 1.25
"""So much more a GiB may cost at the largest size than at the smallest of 1 GiB or more: what
measuring is good for."""
OWN_MB: Final = 300
"""Most private memory of chrek's own processes in a restore of at least LARGE."""
LARGE: Final = 16 * GIB
_NOT_OURS: Final = ("container",)


def rows(case: Case, found: Mapping[str, Found], *, by_turns: bool) -> list[Row]:
    """Seconds; medians, unless named. The checkpoint has the cache of its first restores: a tmpfs
    or not."""
    made: list[Row] = []
    for name, side in found.items():
        done = side.checkpointed
        made.append(
            results.row(
                "checkpoint",
                case.size_bytes,
                name,
                data=case.data,
                cache=case.cached[0],
                phases=done.phases,
                total_seconds=done.seconds,
                frozen_seconds=done.frozen_seconds,
                peak_bytes=done.peak_bytes,
            )
        )
        for (cache, threads), samples in side.restored.items():
            seconds = [sample.seconds for sample in samples]
            read_from = samples[0].read_from
            made.append(
                results.row(
                    "restore",
                    case.size_bytes,
                    name,
                    data=case.data,
                    cache=cache,
                    phases=figures.medians([sample.phases for sample in samples]),
                    total_seconds=statistics.median(seconds),
                    engine_seconds=statistics.median(map(engine_seconds, samples)),
                    all_seconds=seconds,
                    peak_bytes=max(each.peak_bytes or 0 for each in samples) or None,
                    threads=threads,
                    rounds=len(samples),
                    by_turns=by_turns,
                    **({"read_from": read_from} if read_from else {}),
                )
            )
    return made


def failed(case: Case, why: str) -> Row:
    """In the place of a case's restores."""
    return results.row(
        "restore", case.size_bytes, "-", data=case.data, cache=case.cached[0], failure=why
    )


def engine_seconds(sample: Restored) -> float:
    """A restore without the start of the command and without making a container: what an agent
    needs, whose container is there. Bare CRIU has neither."""
    if sample.inner_seconds is None:
        return sample.seconds
    return sample.inner_seconds - sum(sample.phases.get(name, 0.0) for name in _NOT_OURS)


def restores(found: Sequence[Row]) -> Table:
    """A line for each restore, beside bare CRIU's of the same case."""
    made = tables.table(
        "restores",
        ("data", "cache", "system"),
        (
            *("MiB", "threads", "rounds", "restore, s", "engine, s", "of which pages"),
            *("GiB/s", "criu / it", "/ engine", "own MB"),
        ),
    )
    for row in _restores(found):
        bare, pages = _bare(found, row), row["phases"].get("pages")
        total, engine = row["total_seconds"], row["engine_seconds"]
        made.add_row(
            *(row["data"], row["cache"], row["system"]),
            *(str(row["bytes"] >> 20), str(row["threads"] or "-"), str(row["rounds"])),
            *(f"{total:.2f}", f"{engine:.2f}", f"{pages:.2f}" if pages else "-"),
            f"{row['bytes'] / engine / GIB:.2f}",
            *((f"{bare / total:.2f}", f"{bare / engine:.2f}") if bare else ("-", "-")),
            own_megabytes(row),
        )
    return made


def own_megabytes(row: Row) -> str:
    """The most private memory of a side's own processes; bare CRIU's were not looked at."""
    peak = row.get("peak_bytes")
    return f"{peak / 1e6:.0f}" if peak else "-"


def checkpoints(found: Sequence[Row]) -> Table:
    """One checkpoint of each side."""
    figures = ("MiB", "wall, s", "frozen, s", "own MB")
    made = tables.table("checkpoints", ("data", "cache", "system"), figures)
    made.add_column("phases")
    for row in found:
        if row["case"] == "checkpoint":
            told = ", ".join(f"{name} {took:.2f}" for name, took in row["phases"].items())
            made.add_row(
                *(row["data"], row["cache"], row["system"], str(row["bytes"] >> 20)),
                *(f"{row['total_seconds']:.2f}", f"{row['frozen_seconds']:.2f}"),
                *(own_megabytes(row), told),
            )
    return made


def straight(found: Sequence[Row]) -> Table:
    """Seconds that a GiB costs, by size: the same all along, if cost grows as a straight line."""
    sizes = sorted({row["bytes"] for row in _restores(found)})
    made = tables.table(
        "engine's seconds for each GiB that is restored",
        ("data", "cache", "system"),
        [f"{size >> 20} MiB" for size in sizes],
    )
    for (data, cache, system), by_size in _by_size(found).items():
        cells = [f"{by_size[size]:.3f}" if size in by_size else "-" for size in sizes]
        made.add_row(data, cache, system, *cells)
    return made


def limits(found: Sequence[Row]) -> Table:
    """What the machine gives."""
    made = tables.table("the machine's own limits", ("what",), ("threads", "GiB/s"))
    for row in found:
        if row["case"] == "limit":
            rate = row["bytes"] / row["total_seconds"] / GIB
            made.add_row(row["system"], str(row["threads"]), f"{rate:.2f}")
    return made


def verdicts(found: Sequence[Row]) -> Iterator[str]:
    """Of what is to be reached."""
    for row in _restores(found):
        kind = (row["data"], row["cache"], row["system"], row["bytes"])
        bare = _bare(found, row)
        if kind == ("random", "page", "chrek", 4 * GIB) and not row["threads"] and bare:
            for name in ("total_seconds", "engine_seconds"):
                times = bare / row[name]
                told = f"4096 MiB, times as fast as bare CRIU, {name.partition('_')[0]}"
                yield _verdict(told, times, f"at least {TIMES_AS_FAST:g}", times >= TIMES_AS_FAST)
        if row["system"] == "chrek" and row["bytes"] >= LARGE and row.get("peak_bytes"):
            told, most = f"{row['bytes'] >> 20} MiB, {row['threads'] or 'own'} threads", OWN_MB
            peak = row["peak_bytes"] / 1e6
            yield _verdict(f"{told}, own memory, MB", peak, f"at most {most}", peak <= most)
    for (data, cache, system), by_size in _by_size(found).items():
        sizes = [size for size in by_size if size >= GIB]
        if len(sizes) > 1 and system == "chrek":
            least, largest = min(sizes), max(sizes)
            ratio = by_size[largest] / by_size[least]
            told = f"a GiB of {largest >> 20} MiB, of one of {least >> 20} ({data}, {cache})"
            yield _verdict(told, ratio, f"at most {STRAIGHT:g}", ratio <= STRAIGHT)


def _verdict(what: str, value: float, bound: str, reached: bool) -> str:
    return f"{what:<56} {value:6.2f}  {bound:<13} {'reached' if reached else 'MISSED'}"


def _by_size(found: Sequence[Row]) -> dict[tuple[str, str, str], dict[int, float]]:
    made: dict[tuple[str, str, str], dict[int, float]] = {}
    for row in _restores(found):
        if not row["threads"]:
            by_size = made.setdefault((row["data"], row["cache"], row["system"]), {})
            by_size[row["bytes"]] = row["engine_seconds"] / (row["bytes"] / GIB)
    return made


def _restores(found: Sequence[Row]) -> list[Row]:
    """Those by turns; what a node's directory gains has a table of its own."""
    done = [row for row in found if row["case"] == "restore" and row["total_seconds"] is not None]
    return [row for row in done if "read_from" not in row]


def _bare(found: Sequence[Row], row: Row) -> float | None:
    """Seconds of bare CRIU's restore of the same memory from the same place."""
    keys = ("bytes", "data", "cache")
    for each in _restores(found):
        if each["system"] == "criu" and all(each[key] == row[key] for key in keys):
            return float(each["total_seconds"])
    return None
