"""How much memory chrek's own processes have at once while a command of its runs: what no other
process shares with them, the agent and whatever it started outside of containers together."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LOOK_SECONDS: Final = 0.1
_PRIVATE: Final = ("Private_Clean:", "Private_Dirty:")


@dataclass
class Peak:
    """bytes: most that was seen so far."""

    bytes: int = 0

    @contextmanager
    def watching(self, pid: int) -> Iterator[None]:
        """Look at process `pid` and what it started, all the time, beside the block."""
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(_LOOK_SECONDS):
                self.bytes = max(self.bytes, sum(map(_private_bytes, _tree(pid))))

        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        try:
            yield
        finally:
            ended.set()
            looking.join()


def _tree(pid: int) -> Iterator[int]:
    """A process and its descendants, but for those of containers: CRIU and what it restores."""
    with suppress(OSError):
        if _namespace(pid) != _namespace(os.getpid()):
            return
        yield pid
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _tree(int(child))


def _namespace(pid: int) -> Path:
    return Path(f"/proc/{pid}/ns/pid").readlink()


def _private_bytes(pid: int) -> int:
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(_PRIVATE))
    return 0
