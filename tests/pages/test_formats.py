"""Who has no large memory writes what an older chrek reads; who has, what it refuses by name."""

import pytest

from chrek import manifest as manifests
from chrek.errors import FormatError
from chrek.names import FORMAT_UNCOMPRESSED, FORMAT_WITHOUT_PAGES, MANIFEST
from chrek.runspec import Volume
from tests.machine.conftest import PYTHON
from tests.pages import memory
from tests.survival.lives import Lives


def test_a_small_program_has_no_page_files(lives: Lives) -> None:
    source = lives.start("small", "sh", "-c", "echo ready; exec sleep 1000")
    stored = lives.capture(source)
    assert stored.manifest.format == FORMAT_WITHOUT_PAGES
    assert not [file for file in stored.manifest.files if file.name.startswith("pages")]
    assert lives.restore(stored, "copy").running


def test_an_older_chrek_refuses_page_files_by_name(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = Volume(str(memory.OWN_PROGRAMS), "/own", read_only=True)
    source = lives.start("large", PYTHON, "/own/holding.py", "20", volumes=[volume])
    stored = lives.capture(source)
    assert stored.manifest.format == FORMAT_UNCOMPRESSED
    content = (stored.path / MANIFEST).read_bytes()
    assert b'"compressed"' not in content  # an older chrek that reads format 3 refuses that
    older = {n: read for n, read in manifests.READERS.items() if n < FORMAT_UNCOMPRESSED}
    monkeypatch.setattr(manifests, "READERS", older)
    with pytest.raises(FormatError, match="format 3"):
        manifests.decode(content)
