"""Which tests share a process when several run them (`pytest -n`), and in which order they begin.

A module stays together, since what its tests share is made once; so do folders that share a server.
Tests of the cluster mostly wait, each module for pods of its own; some must not be beside others.
"""

from pathlib import Path
from typing import Final

from xdist.scheduler import LoadScopeScheduling

TESTS: Final = Path(__file__).resolve().parent
ALONE: Final = ("test_admission.py", "test_node_faults.py")
"""Of the cluster: a release that takes on the pods of every namespace; a node that is hurt. No
other module uses the cluster meanwhile."""

_SECOND: Final = ("test_lifecycle.py", "test_turns.py")
"""They start and end the second cluster."""
_LONGEST: Final = ("test_absence.py", "test_webhook_life.py", "test_collecting.py")
_SERVERS: Final = {"collect": "api server", "report": "api server", "cri": "containerd"}


def group(path: Path) -> str:
    """All tests of a group run in one process, one after the other."""
    folder = path.relative_to(TESTS).parts[0]
    if folder == "cluster":
        if path.name in ALONE:
            return "alone"
        if path.name in _SECOND:
            return "second"
    return _SERVERS.get(folder) or str(path)


def turn(path: Path) -> int:
    """What has the cluster alone begins, beside what needs no cluster or a second one; what takes
    longest is not left for the end."""
    if TESTS / "cluster" not in path.parents:
        return 1
    if path.name in ALONE:
        return 0
    if path.name in _SECOND:
        return 1
    return 2 if path.name in _LONGEST else 3


class Groups(LoadScopeScheduling):
    """Gives each process whole groups."""

    def _split_scope(self, nodeid: str) -> str:
        return group(TESTS.parent / nodeid.partition("::")[0])
