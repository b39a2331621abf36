"""Runs -> rows, a table, and whether the figure is reached."""

import statistics
from dataclasses import asdict
from typing import Any, Final

from rich import box
from rich.table import Table

from bench.webhook.load import Run
from bench.webhook.measure import BUSY

_TARGET: Final = 0.6


def row(side: str, runs: dict[str, list[Run]], echo: float, patch_bytes: int) -> dict[str, Any]:
    rates = [run.per_second for run in runs["busy"]]
    return {
        "system": side,
        "requests_per_second": statistics.median(rates),
        "ratio_to_echo": statistics.median(rates) / echo,
        "busy_p50_seconds": statistics.median(run.p50_seconds for run in runs["busy"]),
        "busy_p99_seconds": statistics.median(run.p99_seconds for run in runs["busy"]),
        "alone_p50_seconds": statistics.median(run.p50_seconds for run in runs["alone"]),
        "alone_p99_seconds": statistics.median(run.p99_seconds for run in runs["alone"]),
        "patch_bytes": patch_bytes,
        "runs": {load: [asdict(run) for run in found] for load, found in runs.items()},
    }


def table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="one AdmissionReview over TLS on loopback", box=box.SIMPLE_HEAD)
    table.add_column("")
    for heading in (
        "requests/s", "/ echo", f"p50 ms ({BUSY})", f"p99 ms ({BUSY})", "p50 ms (1)",
        "p99 ms (1)", "patch bytes",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for row in rows:
        latencies = [
            f"{row[f'{load}_{percentile}_seconds'] * 1000:.2f}"
            for load in ("busy", "alone")
            for percentile in ("p50", "p99")
        ]
        rate, ratio = f"{row['requests_per_second']:.0f}", f"{row['ratio_to_echo']:.2f}"
        table.add_row(row["system"], rate, ratio, *latencies, str(row["patch_bytes"]))
    return table


def verdicts(rows: list[dict[str, Any]], soak: dict[str, Any]) -> None:
    for row in rows[1:]:
        ratio = row["ratio_to_echo"]
        reached = "reached" if ratio >= _TARGET else "MISSED"
        print(f"{row['system']:<14} {ratio:.2f} of the echo, at least {_TARGET}: {reached}")
    first, *_, last = soak["resident_bytes"]
    print(
        f"memory: {first >> 20} MiB, and after {soak['requests']} more requests {last >> 20} MiB "
        f"({(last - first) / 1024:+.0f} KiB)"
    )
