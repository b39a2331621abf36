"""How long a run may take: what it has no time for is told, not begun."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Budget:
    """seconds: after so many no new case begins; None: no limit. left_out: what did not."""

    seconds: float | None
    clock: Callable[[], float] = time.monotonic
    left_out: list[str] = field(default_factory=list)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def allows(self, what: str) -> bool:
        """Whether `what` may begin now; noted if not."""
        if self.seconds is None or self.clock() - self._began < self.seconds:
            return True
        self.leave_out(what, "no time was left")
        return False

    def leave_out(self, what: str, why: str) -> None:
        """Not begun for another reason."""
        self.left_out.append(f"{what}: {why}")

    def told(self) -> list[str]:
        """A line for each of them."""
        return [f"left out: {each}" for each in self.left_out]
