"""A checkpoint whose large memory is compressed is restored byte by byte, or not at all."""

from typing import Any

import pytest

from agent.engine import filling
from agent.pages import load
from agent.store import checkpoints
from agent.store.checkpoints import Stored
from chrek import manifest as manifests
from chrek.errors import DamagedError, FormatError
from chrek.names import FORMAT_VERSION, MANIFEST
from chrek.runspec import Volume
from tests.machine.conftest import PYTHON
from tests.pages import memory
from tests.pages.test_faults import changed, cold, flip
from tests.survival.lives import Life, Lives

CODECS = ["zstd", "lz4"]


def started(lives: Lives) -> Life:
    volume = Volume(str(memory.OWN_PROGRAMS), "/own", read_only=True)
    return lives.start("source", PYTHON, "/own/holding.py", "40", "64", volumes=[volume])


def captured(lives: Lives, monkeypatch: pytest.MonkeyPatch, codec: str) -> tuple[Stored, Any]:
    monkeypatch.setenv("CHREK_COMPRESSION", codec)
    source = started(lives)
    told = source.ask()
    stored = lives.capture(source)
    assert source.ask() == told
    assert stored.manifest.format == FORMAT_VERSION
    assert not list(stored.path.glob("pages-*.bin"))
    assert sum(path.stat().st_size for path in stored.path.glob("pages-*")) < 28 << 20
    assert checkpoints.verify(stored.path, lives.machine.keys()).files == stored.manifest.files
    return stored, told


@pytest.mark.parametrize("codec", CODECS)
def test_every_byte_comes_back(lives: Lives, monkeypatch: pytest.MonkeyPatch, codec: str) -> None:
    stored, told = captured(lives, monkeypatch, codec)
    monkeypatch.delenv("CHREK_COMPRESSION")  # who restores need not know
    copy = lives.restore(stored, "copy")
    assert copy.ask() == told
    assert lives.restore(lives.capture(copy), "copy-of-copy").ask() == told


def test_several_processes_unpack(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    stored, told = captured(lives, monkeypatch, "zstd")
    monkeypatch.setattr(filling, "THREADS_EACH", 1)
    monkeypatch.setattr(filling, "_WORTHWHILE_BYTES", 0)
    monkeypatch.setattr(load, "load", None)
    monkeypatch.setenv("CHREK_PAGE_THREADS", "3")
    assert lives.restore(stored, "copy").ask() == told


@pytest.mark.parametrize("codec", CODECS)
def test_one_wrong_byte_is_a_cold_start(
    lives: Lives, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    stored, told = captured(lives, monkeypatch, codec)
    path = max(stored.path.glob("pages-*"), key=lambda path: path.stat().st_size)
    with changed(path):
        flip(path, path.stat().st_size // 3)
        with pytest.raises(DamagedError, match=r"pages-\d+\.bin\."):
            lives.restore(stored, "damaged")
        assert cold(lives, "damaged", told)
    assert lives.restore(stored, "copy").ask() == told


def test_an_older_chrek_refuses_it_by_name(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    stored, _ = captured(lives, monkeypatch, "zstd")
    content = (stored.path / MANIFEST).read_bytes()
    older = {n: read for n, read in manifests.READERS.items() if n < FORMAT_VERSION}
    monkeypatch.setattr(manifests, "READERS", older)
    with pytest.raises(FormatError, match="format 4"):
        manifests.decode(content)
