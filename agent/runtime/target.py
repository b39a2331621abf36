"""What the engine needs to know of a container, whatever runtime made it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agent.kernel import process
from chrek.errors import TargetGoneError
from chrek.ids import HostPID
from chrek.runspec import RunSpec


@dataclass(frozen=True, slots=True)
class PodName:
    """A container as a cluster knows it."""

    namespace: str
    name: str
    container: str


@dataclass(frozen=True, slots=True)
class Target:
    """A running container.

    name: what people call it. container: the runtime's id, which its cgroup path must contain.
    init: its PID 1 (chrek-init) seen from the host, started at init_ticks (clock ticks since
    boot). spec: on one machine, what it runs. pod: in a cluster, whose container it is.
    """

    name: str
    container: str
    init: HostPID
    init_ticks: int
    spec: RunSpec | None = None
    pod: PodName | None = None

    @property
    def root(self) -> Path:
        """The container's root directory as the kernel resolves it."""
        return Path(f"/proc/{self.init}/root")

    def alive(self) -> bool:
        """Whether PID 1 of the container is still the one that it was."""
        return process.same(self.init, self.init_ticks)

    @contextmanager
    def pidfd(self) -> Iterator[int]:
        """A pidfd of PID 1, checked after opening; raises TargetGoneError."""
        try:
            descriptor = os.pidfd_open(self.init)
        except ProcessLookupError as error:
            raise TargetGoneError(f"container {self.name} has ended") from error
        try:
            if not self.alive():
                raise TargetGoneError(f"container {self.name} has ended")
            yield descriptor
        finally:
            os.close(descriptor)

    def kill(self) -> None:
        """End the container: whoever started it is to start it again."""
        with suppress(TargetGoneError, ProcessLookupError), self.pidfd() as descriptor:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
