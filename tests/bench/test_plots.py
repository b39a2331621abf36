"""Plots from rows: every series and phase of them is in the SVG, which is well-formed."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import plots, results, svg
from bench.results import Row

GIB = 1 << 30


def row(case: str, gib: float, system: str, seconds: float, **more: object) -> Row:
    made = results.row(case, int(gib * GIB), system, total_seconds=seconds)
    return made | {"part": "memory"} | more


ROWS = [
    row("restore", 1, "criu", 1.0),
    row("restore", 4, "criu", 4.0),
    row("restore", 1, "chrek", 0.9, engine_seconds=0.4, threads=0, phases={"old & slow": 0.9}),
    row("restore", 4, "chrek", 2.0, engine_seconds=1.6, threads=0,
        phases={"pages": 1.5, "criu": 0.1}),
    row("restore", 4, "chrek", 9.0, engine_seconds=9.0, threads=1, phases={"one thread": 9.0}),
    row("restore", 4, "chrek", 8.0, cache="disk", threads=0, phases={"cold": 8.0}),
    row("restore", 1, "podman", 3.0, part="service"),
    row("restore", 4, "criu", 2.0, data="zero"),
    row("checkpoint", 4, "podman", None),
    row("limit", 4, "preadv", 0.1),
    row("restore", 16, "chrek", 5.0, part="gpu", program="tensor, 16 GiB", huge_pages="always",
        phases={"cuda-restore": 2.0}, GiB_per_second={"cuda-restore": 8.0}),
]  # fmt: skip


def texts(content: str) -> list[str]:
    return [each.text or "" for each in ET.fromstring(content).iter() if each.tag.endswith("text")]


def test_restores_are_plotted_by_data_and_system() -> None:
    made = dict(plots.plots(ROWS))
    assert list(made) == ["restores.svg", "gpu-restores.svg", "phases.svg", "gpu-phases.svg"]
    told = texts(made["restores.svg"])
    titles = ["restore, random, page cache", "restore, zero, page cache"]
    assert [each for each in told if each.startswith("restore")] == titles
    assert {"criu", "podman", "chrek", "chrek's engine"} <= set(told)
    assert "chrek, huge pages always" in texts(made["gpu-restores.svg"])


def test_phases_are_those_of_the_largest_restore_from_the_page_cache() -> None:
    told = texts(dict(plots.plots(ROWS))["phases.svg"])
    assert told == ["restore: 4 GiB of random bytes, 2.00 s", "pages", "1.500 s", "criu", "0.100 s"]
    told = texts(dict(plots.plots(ROWS))["gpu-phases.svg"])
    assert told[-1] == "2.000 s (8.0 GiB/s)"


def test_what_comes_from_a_file_cannot_break_the_svg() -> None:
    told = texts(dict(plots.plots(ROWS[:3]))["phases.svg"])
    assert "old & slow" in told


@given(st.floats(1e-6, 1e6))
def test_ticks_are_few_and_reach_the_end(most: float) -> None:
    found = svg.ticks(most)
    assert found[0] == 0
    assert found[-1] >= most * 0.998
    assert 2 <= len(found) <= 7


def test_the_command_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "latest.json"
    assert plots.main(["--json", str(place), "--out", str(tmp_path)]) == 1
    place.write_text(json.dumps(ROWS))
    assert plots.main(["--json", str(place), "--out", str(tmp_path / "out")]) == 0
    assert "restores.svg" in capsys.readouterr().out
    assert (tmp_path / "out" / "phases.svg").read_text().startswith("<svg ")
