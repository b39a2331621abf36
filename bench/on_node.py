"""The `chrek` command on a machine that has a directory for checkpoints, as a node's agent has
(agent.store.nodecache): captures are put together there, and restores read it.

Run: python -m bench.on_node DIRECTORY FOUND WORDS...   WORDS: of `chrek`. FOUND: what a restore
must find there, hit or miss; - where nothing is restored. `--root ROOT fill ID` copies a checkpoint
into the directory, as an agent does after a miss.
"""

import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from agent.engine.means import Means
from agent.store import checkpoints
from agent.store.nodecache import NodeCache
from chrek import ids
from chrek.cli import machine as machines
from chrek.cli import main as command
from chrek.cli.machine import Machine

_FAILED = 1


@dataclass(frozen=True, slots=True)
class OnNode(Machine):
    """A machine whose engine works with the directory."""

    cache: NodeCache

    def means(self) -> Means:
        """With the directory."""
        return replace(Machine.means(self), cache=self.cache)


def main(words: list[str]) -> int:
    """As `chrek`; 1 also where a restore found something else."""
    place, wanted, *rest = words
    cache = NodeCache(Path(place), shutil.disk_usage(Path(place).parent).total)
    real = machines.open_machine
    if rest[2:3] == ["fill"]:
        return _fill(real(Path(rest[1])), cache, rest[3])

    def opened(root: Path | None) -> Machine:
        made = real(root)
        return OnNode(made.settings, made.containers, made.store, cache)

    machines.open_machine = opened
    code = command.main(rest)
    if code == 0 and wanted != "-" and cache.results != {wanted: 1}:
        found = dict(cache.results)
        print(f"bench: the restore found {found} in {place}, not a {wanted}", file=sys.stderr)
        return _FAILED
    return code


def _fill(machine: Machine, cache: NodeCache, identifier: str) -> int:
    path = machine.store.newest(ids.checkpoint_id(identifier))
    if not cache.fill(path, checkpoints.peek(path), lambda: None):
        print(f"bench: {cache.path} has no room for the checkpoint", file=sys.stderr)
        return _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
