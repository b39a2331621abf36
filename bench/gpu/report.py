"""A row as a line, as soon as it is known; all of them as tables."""

from collections.abc import Sequence
from typing import Any, Final

from rich.table import Table

from bench import tables
from bench.results import Row

GIB: Final = 1 << 30


def line(row: Row) -> str:
    """For a person who waits; rates in parentheses, GiB/s."""
    if row["case"] == "limit":
        rate = moved_rate(row)
        threads = f", {row['threads']} threads" if row.get("threads") else ""
        return f"limit       {row['system']}{threads}: {rate:.2f} GiB/s"
    head = f"{row['case']:<11} {titled(row)}, {place(row)}: "
    if row["total_seconds"] is None:
        return f"{head}failed: {row['failure']}"
    rates = row.get("GiB_per_second", {})
    told = [
        f"{name} {seconds:.2f}" + (f" ({rates[name]:.1f})" if name in rates else "")
        for name, seconds in row["phases"].items()
        if seconds >= 0.005
    ]
    if peak := row.get("peak_bytes"):
        told.append(f"own memory {peak / 1e6:.0f} MB")
    return f"{head}{row['total_seconds']:.2f} s" + (f": {', '.join(told)}" if told else "")


def named(row: Row) -> str:
    """The side, and how it was used."""
    name = str(row["system"])
    if count := row.get("threads"):
        name += f", {count} thread{'s' * (count > 1)}"
    return f"{name}, huge pages always" if row.get("huge_pages") == "always" else name


def place(row: Row) -> str:
    """Where the checkpoint is, and whose it is where a node has copies."""
    return f"{row['cache']}, {row['read_from']}'s" if "read_from" in row else str(row["cache"])


def titled(row: Row) -> str:
    """What was measured, and by which side."""
    program = row.get("program") or f"{row['bytes'] / GIB:.4g} GiB without a GPU"
    return f"{program}, {named(row)}"


def programs(rows: Sequence[Row]) -> Table:
    """A line for each program, side and cache that was restored."""
    made = tables.table(
        "programs on a GPU (GiB/s in parentheses; criu is bare CRIU between the driver's calls)",
        ("program", "side", "cache"),
        (
            *("cold, s", "capture, s", "still, s", "GPU to host"),
            *("restore, s", "pages or CRIU", "host to GPU", "usable, s"),
        ),
    )
    for row in rows:
        if row["case"] == "restore" and row["total_seconds"] is not None:
            cold, capture = (_beside(rows, row, case) for case in ("cold start", "checkpoint"))
            copy = "pages" if "pages" in row["phases"] else "criu"
            made.add_row(
                *(row["program"], named(row), place(row)),
                _seconds(cold, "total_seconds"),
                _seconds(capture, "total_seconds"),
                _seconds(capture, "stood_still_seconds"),
                _phase(capture, "cuda-checkpoint"),
                _seconds(row, "total_seconds"),
                _phase(row, copy),
                _phase(row, "cuda-restore"),
                _seconds(row, "first_answer_seconds"),
            )
    return made


def limits(rows: Sequence[Row]) -> Table:
    """What the machine gives, in the same run."""
    made = tables.table("the machine's own limits", ("what", "cache"), ("threads", "GiB/s"))
    for row in rows:
        if row["case"] == "limit":
            threads = row.get("threads")
            cache = row["cache"] if threads else "-"
            made.add_row(row["system"], cache, str(threads or "-"), f"{moved_rate(row):.2f}")
    return made


def _beside(rows: Sequence[Row], row: Row, case: str) -> Row | None:
    """The last before `row` of the same program and side: a restore from a tmpfs has its own."""
    keys = ("program", "system", "huge_pages")
    before = rows[: rows.index(row)]
    found = [
        each
        for each in before
        if each["case"] == case and all(each.get(key) == row[key] for key in keys)
    ]
    return found[-1] if found else None


def moved_rate(row: Row) -> float:
    """GiB/s of a limit."""
    return float(row["bytes"] / row["total_seconds"] / GIB)


def _seconds(row: Row | None, key: str) -> str:
    value: Any = row.get(key) if row else None
    return f"{value:.2f}" if value is not None else "-"


def _phase(row: Row | None, name: str) -> str:
    if row is None or name not in row["phases"]:
        return "-"
    rate = row["GiB_per_second"].get(name)
    return f"{row['phases'][name]:.2f}" + (f" ({rate:.1f})" if rate else "")
