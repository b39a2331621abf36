"""What a side of the benchmark is: something that can checkpoint a service and start it again."""

from dataclasses import dataclass, field
from typing import Protocol

from bench.workload import Workload


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """seconds: wall time of the command. frozen_seconds: CRIU's freezing plus frozen time.
    phases: seconds by name, as the side itself tells them. peak_bytes: of the side's own processes
    (bench.peak)."""

    seconds: float
    frozen_seconds: float
    phases: dict[str, float]
    peak_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """seconds: wall time of the command. inner_seconds: what a side says that its work took,
    less than `seconds` by the start of the command. peak_bytes: of the side's own processes.
    read_from: node or volume, of a side that has both."""

    seconds: float
    phases: dict[str, float] = field(default_factory=dict)
    inner_seconds: float | None = None
    peak_bytes: int | None = None
    read_from: str | None = None


class Side(Protocol):
    """Calls come in this order, over and over; `close` at any moment, after which nothing of
    the side is left on the machine."""

    @property
    def name(self) -> str:
        """As the table has it."""
        ...

    @property
    def version(self) -> str:
        """Of the software."""
        ...

    def start(self, workload: Workload) -> None:
        """Start the source; it need not answer yet."""
        ...

    def checkpoint(self) -> Checkpointed:
        """Checkpoint the source, which runs on."""
        ...

    def end_source(self) -> None:
        """Kill the source; its port and PID are free on return."""
        ...

    def restore(self) -> Restored:
        """Start it again from the checkpoint."""
        ...

    def discard(self) -> None:
        """End what was restored (or the source, or neither) and delete the checkpoint."""
        ...

    def close(self) -> None:
        """End and remove everything."""
        ...
