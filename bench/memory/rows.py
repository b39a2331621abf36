"""What was measured, as rows of JSON and as tables."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from bench import figures
from bench.memory.rounds import Case, Found
from bench.side import Restored

_GIB = 1 << 30
_NOT_OURS = ("container",)


def rows(case: Case, found: Mapping[str, Found]) -> list[dict[str, Any]]:
    """Seconds; medians, unless named."""
    made: list[dict[str, Any]] = []
    for name, side in found.items():
        made.append(
            _head("checkpoint", case, name)
            | {
                "phases": side.checkpointed.phases,
                "total_seconds": side.checkpointed.seconds,
                "frozen_seconds": side.checkpointed.frozen_seconds,
            }
        )
        for threads, samples in side.restored.items():
            seconds = [sample.seconds for sample in samples]
            made.append(
                _head("restore", case, name)
                | {
                    "threads": threads,
                    "rounds": len(samples),
                    "phases": figures.medians([sample.phases for sample in samples]),
                    "total_seconds": statistics.median(seconds),
                    "all_seconds": seconds,
                    "engine_seconds": statistics.median(map(engine_seconds, samples)),
                }
            )
    return made


def engine_seconds(sample: Restored) -> float:
    """A restore without the start of the command and without making a container: what an agent
    needs, whose container is there. Bare CRIU has neither."""
    if sample.inner_seconds is None:
        return sample.seconds
    return sample.inner_seconds - sum(sample.phases.get(name, 0.0) for name in _NOT_OURS)


def restores(found: Sequence[dict[str, Any]]) -> Table:
    """A line for each restore, beside bare CRIU's of the same case."""
    columns = ("MiB", "data", "system", "threads", "restore, s", "engine, s", "of which pages")
    table = _table("restores, from the page cache", (*columns, "GiB/s", "criu / it", "/ engine"))
    base = {
        (row["bytes"], row["data"]): row["total_seconds"]
        for row in found
        if row["case"] == "restore" and row["system"] == "criu"
    }
    for row in found:
        if row["case"] != "restore":
            continue
        bare, pages = base.get((row["bytes"], row["data"])), row["phases"].get("pages")
        total, engine = row["total_seconds"], row["engine_seconds"]
        table.add_row(
            *(str(row["bytes"] >> 20), row["data"], row["system"], str(row["threads"] or "-")),
            *(f"{total:.2f}", f"{engine:.2f}", f"{pages:.2f}" if pages else "-"),
            f"{row['bytes'] / engine / _GIB:.2f}",
            *((f"{bare / total:.2f}", f"{bare / engine:.2f}") if bare else ("-", "-")),
        )
    return table


def checkpoints(found: Sequence[dict[str, Any]]) -> Table:
    """One checkpoint of each side."""
    table = _table("checkpoints", ("MiB", "data", "system", "wall, s", "frozen, s", "phases"))
    for row in found:
        if row["case"] == "checkpoint":
            told = ", ".join(f"{name} {took:.2f}" for name, took in row["phases"].items())
            table.add_row(
                *(str(row["bytes"] >> 20), row["data"], row["system"]),
                *(f"{row['total_seconds']:.2f}", f"{row['frozen_seconds']:.2f}", told),
            )
    return table


def limits(found: Sequence[dict[str, Any]]) -> Table:
    """What the machine gives."""
    table = _table("the machine's own limits", ("what", "threads", "GiB/s"))
    for row in found:
        if row["case"] == "limit":
            rate = row["bytes"] / row["total_seconds"] / _GIB
            table.add_row(row["system"], str(row["threads"]), f"{rate:.2f}")
    return table


def _head(case: str, what: Case, system: str) -> dict[str, Any]:
    return {
        "case": case,
        "data": what.data,
        "bytes": what.size_bytes,
        "system": system,
        "cache": "page",
    }


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in columns:
        words = column in ("data", "system", "what", "phases")
        table.add_column(column, justify="left" if words else "right")
    return table
