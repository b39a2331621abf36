"""Benchmarks as such: what they run, write and print; not what they measure."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def work() -> Iterator[Path]:
    """A directory that containers see, too, as a test's own on a tmpfs is not."""
    if os.geteuid() != 0:
        pytest.skip("needs root: containers are made")
    with tempfile.TemporaryDirectory(prefix="chrek-bench-test-", dir="/var/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured does not matter: nobody waits for a quiet machine."""
    monkeypatch.setattr("bench.quiet.wait", lambda: None)
    monkeypatch.setattr("bench.warm.warm", lambda size_bytes: None)
