"""Containers with a pretended GPU, and a helper that pretends the driver."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def pretender() -> Iterator[Path]:
    """The built program; beside it is what it takes for CUDA's library."""
    # Seen from inside containers too, which a test's temporary directory on a tmpfs is not.
    if os.geteuid() != 0:
        pytest.skip("needs root: memory of other processes is written")
    place = Path(tempfile.mkdtemp(prefix="chrek-pretender-", dir="/var/lib"))
    built = place / "pretender"
    source = HERE / "programs" / "pretender.c"
    subprocess.run(["gcc", "-O1", "-Wall", "-pthread", "-o", built, source], check=True)
    (place / "libcuda.so.1").write_bytes(b"\0" * 4096)
    yield built
    shutil.rmtree(place)


@pytest.fixture
def command(tmp_path: Path) -> tuple[str, ...]:
    """What runs a helper that pretends."""
    told = f"PRETENDING={tmp_path / 'wrongs.json'}"
    return ("/usr/bin/env", told, sys.executable, "-m", "tests.cuda.pretending")


@pytest.fixture
def wrongs(tmp_path: Path) -> Callable[..., None]:
    """What the driver shall do wrong from now on: call -> "hang", "die", or a CUresult."""
    path = tmp_path / "wrongs.json"

    def set_wrongs(**wrong: Any) -> None:
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(wrong))
        beside.rename(path)

    set_wrongs()
    return set_wrongs
