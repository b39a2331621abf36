"""What the command prints is for people, or one JSON document."""

import json
import time

import pytest

from chrek.cli import output
from chrek.manifest import StoredFile


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (300 << 20, "300.0 MiB"),
        (1 << 30, "1.0 GiB"),
        (5 << 40, "5120.0 GiB"),
    ],
)
def test_sizes_have_the_unit_that_fits(count: int, text: str) -> None:
    assert output.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "0s"), (59.5, "59s"), (60.5, "1m"), (3600.5, "1h"), (86400.5, "1d"), (-50, "0s")],
)
def test_ages_have_one_unit(seconds: float, text: str) -> None:
    assert output.ago(time.time() - seconds) == text


def test_phases_are_listed_in_their_order() -> None:
    assert output.phases({"criu": 0.2514, "files": 0.004}) == "criu 0.251 s, files 0.004 s"
    assert output.phases({}) == ""


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    output.as_json([StoredFile("files.tar.zst", 1, "blake3:" + "0" * 64), {"a": None}])
    out = capsys.readouterr().out
    assert out.endswith("\n")
    first, second = json.loads(out)
    assert (first["name"], first["size_bytes"], second) == ("files.tar.zst", 1, {"a": None})


def test_a_table_keeps_every_word_and_markup_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 300
    output.table(["NAME", "WHAT"], [["web", "[red]not a colour[/red]"], [long, "[/]"]])
    out = capsys.readouterr().out
    assert out.split()[:2] == ["NAME", "WHAT"]
    assert "[red]not a colour[/red]" in out
    assert "[/]" in out
    assert "".join(out.split()).count("x") == 300


def test_an_empty_table_is_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["NAME", "STATE"], [])
    assert capsys.readouterr().out.split() == ["NAME", "STATE"]
