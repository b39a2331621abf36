"""chrek on a node: captures are put together in the node's own directory and copied to the volume;
restores read the node's copy, or the volume where there is none."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.chrek_side import CHECKPOINT, Chrek
from bench.failures import SideFailedError
from bench.results import Cache
from bench.side import Checkpointed, Restored


class Node(Chrek):
    """kept: the node's directories by where they are; captures are put together in the first. The
    volume is a directory of `work`, for `disk`.

    cache: where the next restore finds the checkpoint.
    """

    name = "chrek node"

    def __init__(self, work: Path, kept: Mapping[Cache, Path], options: Sequence[str] = ()) -> None:
        super().__init__(work, options)
        self.cache: Cache = "disk"
        self._kept = kept
        self._empty = work / "no-copies"
        self._directory, self._found = self._empty, "-"

    def checkpoint(self) -> Checkpointed:
        """Through the first directory, which keeps a copy."""
        self._directory, self._found = next(iter(self._kept.values())), "-"
        self.checkpoints.mkdir(parents=True, exist_ok=True)  # a volume is there before
        made = super().checkpoint()
        if "copy" not in made.phases:
            raise SideFailedError(f"{self.name}: no room in {self._directory}")
        return made

    def fill(self, cache: Cache) -> float:
        """Seconds in which the volume's checkpoint was copied to the directory for `cache`."""
        self._directory, self._found = self._kept[cache], "-"
        seconds, _, _ = self._timed("fill", CHECKPOINT)
        return seconds

    def restore(self) -> Restored:
        """From what is in `cache`."""
        self._directory, self._found = self._empty, "miss"
        if self.cache in self._kept:
            self._directory, self._found = self._kept[self.cache], "hit"
        read_from = "node" if self._found == "hit" else "volume"
        return replace(super().restore(), read_from=read_from)

    def discard(self) -> None:
        """The node's copies, too."""
        try:
            super().discard()
        finally:
            for place in (*self._kept.values(), self._empty):
                shutil.rmtree(place, ignore_errors=True)

    def _measured(self) -> Sequence[str]:
        return ("bench.on_node", str(self._directory), self._found)
