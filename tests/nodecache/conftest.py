"""A node with a directory of its own, and a volume that is another disk."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import disks
from tests.machine.conftest import _remove_shim, shim
from tests.nodecache.ground import Ground
from tests.survival.conftest import all_lives, lives
from tests.survival.lives import Lives

__all__ = ["_remove_shim", "all_lives", "lives", "shim"]


@pytest.fixture
def ground(lives: Lives) -> Iterator[Ground]:
    """Afterwards neither half a capture nor half a copy is left on either."""
    if not Path("/dev/loop-control").exists() or not shutil.which("mkfs.ext4"):
        pytest.skip("needs loop devices and mkfs.ext4")
    home = lives.root / "node"
    with disks.disk(home / "volume" / "disk", size_mib=512):
        made = Ground(lives, home / "volume" / "disk", home / "cache")
        yield made
        lives.stop_all()
    shutil.rmtree(home, ignore_errors=True)
