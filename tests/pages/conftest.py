"""Containers and checkpoints of programs with large memory, below one root for a module."""

from tests.machine.conftest import _remove_shim, shim
from tests.survival.conftest import all_lives, lives

__all__ = ["_remove_shim", "all_lives", "lives", "shim"]
