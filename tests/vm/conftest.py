"""Tests of what only the virtual machine has: `make test-vm` runs them there."""

import os

from tests.machine.conftest import _remove_shim, chrek, shim

__all__ = ["_remove_shim", "chrek", "shim"]

collect_ignore_glob = [] if os.environ.get("CHREK_VM") else ["test_*.py"]
