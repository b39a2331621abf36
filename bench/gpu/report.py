"""A row as a line, as soon as it is known; all of them as tables; what is to be reached."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.table import Table

from bench import tables
from bench.results import Row

GIB: Final = 1 << 30
PAGES_GIB_PER_SECOND: Final = 20.0
PAGES_SHARE: Final = 0.5
STOOD_RATIO: Final = 1.2
MODEL_SECONDS: Final = 3.0
_MODEL: Final = "Qwen3-8B-shaped"
_FRESH: Final = "preadv, fresh huge pages"


def line(row: Row) -> str:
    """For a person who waits; rates in parentheses, GiB/s."""
    if row["case"] == "limit":
        rate = _rate(row)
        threads = f", {row['threads']} threads" if row.get("threads") else ""
        return f"limit       {row['system']}{threads}: {rate:.2f} GiB/s"
    head = f"{row['case']:<11} {row['program']}, {named(row)}, {row['cache']}: "
    if row["total_seconds"] is None:
        return f"{head}failed: {row['failure']}"
    rates = row.get("GiB_per_second", {})
    told = [
        f"{name} {seconds:.2f}" + (f" ({rates[name]:.1f})" if name in rates else "")
        for name, seconds in row["phases"].items()
        if seconds >= 0.005
    ]
    return f"{head}{row['total_seconds']:.2f} s" + (f": {', '.join(told)}" if told else "")


def named(row: Row) -> str:
    """The side, and how it was used."""
    always = row["huge_pages"] == "always"
    return f"{row['system']}, huge pages always" if always else str(row["system"])


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
                *(row["program"], named(row), row["cache"]),
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
    made = tables.table("the machine's own limits", ("what",), ("threads", "GiB/s"))
    for row in rows:
        if row["case"] == "limit":
            made.add_row(row["system"], str(row.get("threads") or "-"), f"{_rate(row):.2f}")
    return made


def near(rows: Sequence[Row]) -> Iterator[str]:
    """How near the driver's copies are to torch's of pageable memory, whose pages are there."""
    for name, case, phase in (
        ("GPU to host", "checkpoint", "cuda-checkpoint"),
        ("host to GPU", "restore", "cuda-restore"),
    ):
        kinds = [f"{name}, pageable, {pages} pages" for pages in ("small", "huge")]
        best = max((_rate(row) for row in rows if row["system"] in kinds), default=None)
        for row in rows:
            rate = row.get("GiB_per_second", {}).get(phase)
            if best is not None and row["case"] == case and rate is not None:
                what = f"{row['program']}, {named(row)}, {row['cache']}"
                told = f"{rate:.2f} GiB/s, {rate / best:.2f} of a pageable copy ({best:.2f})"
                yield f"{what:<48} {name}: {told}"


def verdicts(rows: Sequence[Row]) -> Iterator[str]:
    """Of what is to be reached, what this bench can tell."""
    fresh = max((_rate(row) for row in rows if row["system"] == _FRESH), default=None)
    for row in rows:
        if row["total_seconds"] is None or row["system"] != "chrek":
            continue
        what = f"{row['program']}, {named(row)}"
        if row["case"] == "restore" and row["cache"] == "page":
            pages = row["GiB_per_second"].get("pages")
            if pages is not None:
                yield _verdict(what, "pages, GiB/s", pages, least=PAGES_GIB_PER_SECOND)
                if fresh is not None:
                    share = pages / fresh
                    yield _verdict(what, f"pages, of {_FRESH}", share, least=PAGES_SHARE)
            if row["program"] == _MODEL:
                took = row["total_seconds"]
                yield _verdict(what, "running again, s", took, most=MODEL_SECONDS)
        if row["case"] == "checkpoint":
            bare = _bare(rows, row)
            if bare is not None:
                ratio = row["stood_still_seconds"] / bare["stood_still_seconds"]
                yield _verdict(what, "source stood still, times bare", ratio, most=STOOD_RATIO)


def _verdict(
    what: str, figure: str, value: float, *, least: float | None = None, most: float | None = None
) -> str:
    if most is not None:
        reached, bound = value <= most, f"at most {most:g}"
    else:
        assert least is not None
        reached, bound = value >= least, f"at least {least:g}"
    verdict = "reached" if reached else "MISSED"
    return f"{what:<40} {figure:<36} {value:7.2f}  {bound:<13} {verdict}"


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


def _bare(rows: Sequence[Row], row: Row) -> Row | None:
    for each in rows:
        if (each["case"], each["system"]) == ("checkpoint", "criu") and (
            each["total_seconds"] is not None and each["program"] == row["program"]
        ):
            return each
    return None


def _rate(row: Row) -> float:
    return float(row["bytes"] / row["total_seconds"] / GIB)


def _seconds(row: Row | None, key: str) -> str:
    value: Any = row.get(key) if row else None
    return f"{value:.2f}" if value is not None else "-"


def _phase(row: Row | None, name: str) -> str:
    if row is None or name not in row["phases"]:
        return "-"
    rate = row["GiB_per_second"].get(name)
    return f"{row['phases'][name]:.2f}" + (f" ({rate:.1f})" if rate else "")
