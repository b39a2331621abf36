"""How long a run may take: what it has no time for is told, not begun."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Budget:
    """seconds: after so many no new case begins, nor before then one that would take longer; None:
    no limit. left_out: what did not begin."""

    seconds: float | None
    clock: Callable[[], float] = time.monotonic
    left_out: list[str] = field(default_factory=list)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def allows(self, what: str, takes_seconds: float = 0.0) -> bool:
        """Whether `what`, which takes about so long, may begin now; noted if not."""
        if self.seconds is None:
            return True
        left = self.seconds - (self.clock() - self._began)
        if left > 0 and takes_seconds <= left:
            return True
        self.leave_out(
            what,
            f"it takes about {takes_seconds:.0f} s, and {left:.0f} s were left"
            if left > 0
            else "no time was left",
        )
        return False

    def leave_out(self, what: str, why: str) -> None:
        """Not begun for another reason."""
        self.left_out.append(f"{what}: {why}")

    def told(self) -> list[str]:
        """A line for each of them."""
        return [f"left out: {each}" for each in self.left_out]
