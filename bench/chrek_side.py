"""chrek, through its command, as a user calls it: `run`, `checkpoint`, `restore`, `stop`."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import chrek
from agent.runtime.runc.containers import Containers
from agent.settings import HUGE_PAGES, PAGE_THREADS
from agent.store import space
from bench import commands
from bench.failures import SideFailedError
from bench.peak import Peak
from bench.side import Checkpointed, Restored
from bench.workload import Workload

_SOURCE = "source"
_REPLICA = "replica"
CHECKPOINT = "bench"
_COMMAND = "chrek.cli.main"
_CHECKOUT = Path(__file__).parents[1]


class Chrek:
    """Its containers and checkpoints live below a root of their own.

    options: more of `chrek run`. compression: of what is checkpointed. threads: those that move
    pages, 0 is chrek's own choice. huge_pages: `always` has them for the whole machine while a
    GPU's bytes are copied. checkpoints: the directory that they are written to.
    """

    name = "chrek"
    version = chrek.__version__

    def __init__(self, work: Path, options: Sequence[str] = ()) -> None:
        self.threads = 0
        self.huge_pages = "leave"
        self.compression = "none"
        self._options = options
        self._root = work / "chrek"
        self.checkpoints = self._root / "checkpoints"
        self._stored = False

    def start(self, workload: Workload) -> None:
        """`chrek run --net host`, as the other sides have no network of their own either."""
        options = ("--name", _SOURCE, "--net", "host", "--cwd", "/", *self._options)
        self._chrek("run", *options, "--", *workload.argv)

    def checkpoint(self) -> Checkpointed:
        """`chrek checkpoint`: hashes and syncs the checkpoint, too."""
        options = ("--as", CHECKPOINT, "--compress", self.compression, "--json")
        seconds, printed, peak = self._timed("checkpoint", _SOURCE, *options)
        self._stored = True
        made: dict[str, Any] = json.loads(printed)
        return Checkpointed(seconds, made["frozen_seconds"], made["phases"], peak)

    def stored_bytes(self) -> int:
        """What its checkpoints take on the disk."""
        return space.taken_bytes(self.checkpoints)

    def end_source(self) -> None:
        """`chrek stop`."""
        self._chrek("stop", _SOURCE)

    def restore(self) -> Restored:
        """`chrek restore`: makes a container and restores into it."""
        options = ("--name", _REPLICA, "--on-failure", "fail", "--json")
        seconds, printed, peak = self._timed("restore", CHECKPOINT, *options)
        result: dict[str, Any] = json.loads(printed)[0]
        if not result["restored"]:
            raise SideFailedError(f"not restored: {result['message']}")
        return Restored(seconds, result["phases"], result["seconds"], peak)

    def end_restored(self) -> None:
        """`chrek stop`."""
        self._chrek("stop", _REPLICA)

    def discard(self) -> None:
        """Stop both containers, as far as they are there; delete the checkpoint."""
        try:
            self.close()
        finally:
            if self._stored:
                self._stored = False
                self._chrek("rm", CHECKPOINT)

    def manifest(self) -> dict[str, Any]:
        """Of the checkpoint."""
        found: dict[str, Any] = json.loads(self._chrek("inspect", CHECKPOINT, "--json"))
        return found

    def log(self) -> str:
        """What the source or the replica printed."""
        containers = Containers(self._root)
        places = [containers.places(name).log for name in (_SOURCE, _REPLICA)]
        return "".join(place.read_text(errors="replace") for place in places if place.exists())

    def close(self) -> None:
        """Stop whatever its root knows, also after a command that was killed."""
        for container in json.loads(self._chrek("ps", "--json")):
            self._chrek("stop", container["name"])

    def _measured(self) -> Sequence[str]:
        """The module, and its arguments, that captures and restores."""
        return (_COMMAND,)

    def _argv(self, module: Sequence[str], words: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", *module, "--root", str(self._root), *words]

    def _chrek(self, *words: str) -> str:
        return commands.output(self._argv([_COMMAND], words), env=_environment())

    def _timed(self, *words: str) -> tuple[float, str, int]:
        """Seconds, what was printed, and the most memory in bytes."""
        peak = Peak()
        env = _environment() | {PAGE_THREADS: str(self.threads), HUGE_PAGES: self.huge_pages}
        argv = self._argv(self._measured(), words)
        seconds, printed = commands.timed(argv, env=env, cwd=_CHECKOUT, beside=peak.watching)
        return seconds, printed, peak.bytes


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "CHREK_ROOT"}
