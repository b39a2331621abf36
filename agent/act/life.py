"""What this agent has seen and done of one pod. Lost with the agent: nothing depends on it."""

from dataclasses import dataclass, field

from agent.act.looking import Looking
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
    running: that container. started_cold: this agent saw it start its command. failure: reason of
    the last restore that failed, until one succeeds. failures: failed restores in a row.
    restored_at: event loop's time of the last restore. told: what was reported of the capture, so
    that it is said once. read_ahead: was asked for. looking: for the file that says it is warm.
    """

    decided: ContainerID | None = None
    running: Running | None = None
    started_cold: bool = False
    failure: str = ""
    failures: int = 0
    restored_at: float | None = None
    told: set[str] = field(default_factory=set)
    read_ahead: bool = False
    looking: Looking = field(default_factory=Looking)

    def runs(self, container: ContainerID, running: Running) -> None:
        """`container` runs something; this agent did not see how it began."""
        self.decided, self.running, self.restored_at = container, running, None
        self.started_cold = False

    def cold(self, container: ContainerID, running: Running, failure: str = "") -> None:
        """`container` has started its command."""
        self.runs(container, running)
        self.started_cold = True
        if failure:
            self.failure = failure
            self.failures += 1

    def restored(self, container: ContainerID, running: Running, at: float) -> None:
        """`container` was restored."""
        self.runs(container, running)
        self.restored_at, self.failure = at, ""

    def once(self, what: str) -> bool:
        """Whether `what` is new for this container."""
        key = f"{self.decided} {what}"
        if key in self.told:
            return False
        self.told.add(key)
        return True
