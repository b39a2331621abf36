"""What this agent has seen and done of one pod. Lost with the agent: nothing depends on it."""

from dataclasses import dataclass, field

from agent.plan.fit import Here
from agent.runtime.cri.model import ContainerID, Status
from agent.runtime.target import Target


@dataclass(frozen=True, slots=True)
class Running:
    """A running container under chrek-init."""

    status: Status
    target: Target
    here: Here


@dataclass(slots=True)
class Life:
    """decided: the container of which it is known whether it was restored or started cold.
    running: that container. failure: reason of the last restore that failed, until one succeeds.
    failures: failed restores in a row. restored_at: event loop's time of the last restore.
    told: what was reported of the capture, so that it is said once. read_ahead: was asked for.
    """

    decided: ContainerID | None = None
    running: Running | None = None
    failure: str = ""
    failures: int = 0
    restored_at: float | None = None
    told: set[str] = field(default_factory=set)
    read_ahead: bool = False

    def cold(self, container: ContainerID, running: Running, failure: str = "") -> None:
        """`container` has started its command."""
        self.decided, self.running, self.restored_at = container, running, None
        if failure:
            self.failure = failure
            self.failures += 1

    def restored(self, container: ContainerID, running: Running, at: float) -> None:
        """`container` was restored."""
        self.decided, self.running, self.restored_at = container, running, at
        self.failure = ""

    def once(self, what: str) -> bool:
        """Whether `what` is new for this container."""
        key = f"{self.decided} {what}"
        if key in self.told:
            return False
        self.told.add(key)
        return True
