"""`python -m bench.plots`: the rows of a run as SVG, seconds against size and phases as bars."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from bench import results, svg
from bench.results import Row
from bench.svg import Bar, Look, Panel, Waterfall

_GIB: Final = 1 << 30
_OUT: Final = Path(__file__).parents[1] / "docs" / "benchmarks"
_ENGINE: Final = "chrek's engine"
_BLUE: Final = "#0072b2"
_LOOKS: Final = {
    "criu": Look("#555555"),
    "podman": Look("#e69f00"),
    "podman export": Look("#d55e00"),
    "chrek": Look(_BLUE),
    _ENGINE: Look(_BLUE, dashed=True),
    "chrek, huge pages always": Look("#009e73"),
}
_VERBS: Final = {"checkpoint": "capture", "restore": "restore"}
_LEAST_SHARE: Final = 0.002
"""Of the whole: a shorter phase is not drawn."""


def plots(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """File name -> SVG, of what there are rows for."""
    measured = [row for row in rows if row["total_seconds"] is not None and row["case"] in _VERBS]
    on_cpu = [row for row in measured if row.get("part") != "gpu"]
    on_gpu = [row for row in measured if row.get("part") == "gpu"]
    for case, verb in _VERBS.items():
        if made := list(_by_data(on_cpu, case)):
            yield f"{verb}s.svg", svg.panels(made, _LOOKS)
        tensors = [row for row in on_gpu if row["program"].startswith("tensor")]
        if made := list(_by_data(tensors, case)):
            yield f"gpu-{verb}s.svg", svg.panels(made, _LOOKS)
    if made_falls := list(_waterfalls(_largest(on_cpu))):
        yield "phases.svg", svg.waterfalls(made_falls, _BLUE)
    if made_falls := list(_waterfalls(_largest(on_gpu))):
        yield "gpu-phases.svg", svg.waterfalls(made_falls, _BLUE)


def _by_data(rows: Sequence[Row], case: str) -> Iterator[Panel]:
    for data in ("random", "half-zero", "zero"):
        chosen = [
            row
            for row in rows
            if (row["case"], row["data"], row["cache"]) == (case, data, "page")
            and not row.get("threads")
        ]
        lines = {name: points for name, points in _lines(chosen).items() if name in _LOOKS}
        if lines:
            yield Panel(f"{_VERBS[case]}, {data}, page cache", "GiB", "seconds", lines)


def _lines(rows: Sequence[Row]) -> Mapping[str, list[tuple[float, float]]]:
    """Of parts that measured the same, the last one counts."""
    found: dict[str, dict[float, float]] = {}
    for row in rows:
        always = row.get("huge_pages") == "always"
        name = f"{row['system']}, huge pages always" if always else row["system"]
        size = row["bytes"] / _GIB
        found.setdefault(name, {})[size] = row["total_seconds"]
        if "engine_seconds" in row and name == "chrek":
            found.setdefault(_ENGINE, {})[size] = row["engine_seconds"]
    return {name: sorted(points.items()) for name, points in found.items()}


def _largest(rows: Sequence[Row]) -> list[Row]:
    """chrek's capture and restore of the most random bytes from the page cache, and of each model;
    on a GPU with huge pages for everybody where that was tried."""
    chosen: dict[tuple[str, str], Row] = {}
    for row in rows:
        wanted = (row["system"], row["data"], row["cache"]) == ("chrek", "random", "page")
        if not wanted or row.get("threads"):
            continue
        key = (str(row.get("program", "")).partition(",")[0], row["case"])
        if key not in chosen or _rank(row) >= _rank(chosen[key]):
            chosen[key] = row
    return list(chosen.values())


def _rank(row: Row) -> tuple[int, bool, bool]:
    return row["bytes"], row.get("huge_pages") == "always", row.get("part") != "service"


def _waterfalls(rows: Sequence[Row]) -> Iterator[Waterfall]:
    for row in rows:
        what = row.get("program") or f"{row['bytes'] / _GIB:g} GiB of random bytes"
        always = ", huge pages always" if row.get("huge_pages") == "always" else ""
        title = f"{_VERBS[row['case']]}: {what}{always}, {row['total_seconds']:.2f} s"
        yield Waterfall(title, list(_bars(row)))


def _bars(row: Row) -> Iterator[Bar]:
    """Each phase's own seconds, one behind the other: together the whole."""
    rates = row.get("GiB_per_second", {})
    whole = sum(row["phases"].values())
    began = 0.0
    for name, seconds in row["phases"].items():
        if seconds >= whole * _LEAST_SHARE:
            rate = f" ({rates[name]:.1f} GiB/s)" if name in rates else ""
            yield Bar(name, began, seconds, f"{seconds:.3f} s{rate}")
        began += seconds


def main(words: Sequence[str] | None = None) -> int:
    """0: written; 1: no rows."""
    parser = argparse.ArgumentParser(prog="python -m bench.plots", description=__doc__)
    parser.add_argument("--json", type=Path, default=results.LATEST, metavar="FILE")
    parser.add_argument("--out", type=Path, default=_OUT, metavar="DIR")
    asked = parser.parse_args(words)
    rows = json.loads(asked.json.read_text()) if asked.json.exists() else []
    asked.out.mkdir(parents=True, exist_ok=True)
    written = [
        (asked.out / name).write_text(content) and asked.out / name for name, content in plots(rows)
    ]
    for place in written:
        print(place)
    if not written:
        print(f"bench: {asked.json} has no rows to plot", file=sys.stderr)
    return int(not written)


if __name__ == "__main__":
    sys.exit(main())
