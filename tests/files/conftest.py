"""A lower layer with something of every kind, and boxes over it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import boxes
import pytest
from boxes import Box


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    missing = os.geteuid() != 0 or shutil.which("unshare") is None
    for item in items:
        if missing and item.path.parent == here:
            item.add_marker(pytest.mark.skip(reason="needs root and unshare for overlay mounts"))


def populate(lower: Path) -> None:
    """What an image might bring: every name that the property test uses stands for something."""
    for path in ("tmp", "dev/shm", "etc", "d", "d/d", "e/d"):
        (lower / path).mkdir(parents=True, exist_ok=True)
    (lower / "etc/motd").write_text("from the image\n")
    (lower / "d/f").write_bytes(b"lower file")
    (lower / "d/d/f").write_bytes(b"deep lower file")
    (lower / "e/f").symlink_to("/etc/motd")
    (lower / "e/d/f").write_bytes(b"another")
    os.setxattr(lower / "e/d", "user.image", b"1")


@pytest.fixture(scope="session")
def lower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("lower")
    populate(made)
    return made


@pytest.fixture
def new_box(lower: Path) -> Iterator[Callable[..., Box]]:
    """Makes boxes over the lower layer; they end with the test."""
    with ExitStack() as stack:
        yield lambda *volumes: stack.enter_context(boxes.box(lower, *volumes))


@pytest.fixture
def source(new_box: Callable[..., Box]) -> Box:
    return new_box()


@pytest.fixture
def target(new_box: Callable[..., Box]) -> Box:
    return new_box()


@pytest.fixture
def archive_path(tmp_path: Path) -> Path:
    return tmp_path / "files.tar.zst"
