"""How long one agent waits before it does what any other could do as well.

Whoever has the claim at hand comes first, the others much later; and never all at once.
"""

import random
from dataclasses import dataclass, field
from typing import Final

_LONGEST_PAUSE_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class Grace:
    """Ranges of seconds after something was first seen to need doing. near: until it is done by
    who has the claim mounted. far: until it is asked whether the claim is there at all. cleaner:
    until a pod is made to mount it. retry: the first pause after what went wrong.
    """

    near: tuple[float, float] = (0.0, 2.0)
    far: tuple[float, float] = (3.0, 8.0)
    cleaner: tuple[float, float] = (15.0, 30.0)
    retry: tuple[float, float] = (10.0, 20.0)


DELETED: Final = Grace()
"""Somebody waits for it."""
SURPLUS: Final = Grace(near=(0.0, 30.0), far=(60.0, 120.0), cleaner=(300.0, 600.0))
"""Nobody does; pods come and go meanwhile."""
ENDING: Final = Grace(near=(0.0, 0.3), retry=(1.0, 3.0))
"""A namespace that ends takes the agent's rights in it, or the agent itself, at any moment."""


@dataclass(slots=True)
class Patience:
    """Of one Checkpoint and one reason. All times are the event loop's."""

    uid: str
    grace: Grace
    since: float
    near_at: float = field(init=False)
    far_at: float = field(init=False)
    cleaner_at: float = field(init=False)
    failures: int = 0

    def __post_init__(self) -> None:
        self.near_at = self.since + random.uniform(*self.grace.near)  # noqa: S311
        self.far_at = self.since + random.uniform(*self.grace.far)  # noqa: S311
        self.cleaner_at = self.since + random.uniform(*self.grace.cleaner)  # noqa: S311

    def failed(self, now: float) -> None:
        """Wait longer after each failure."""
        self.near_at = now + self._pause_seconds()
        self.far_at = max(self.far_at, self.near_at)

    def asked(self, now: float) -> None:
        """A cleaner was asked for; whether it comes will be seen."""
        self.far_at = self.cleaner_at = now + self._pause_seconds()

    def _pause_seconds(self) -> float:
        longest = random.uniform(*self.grace.retry) * float(2 ** min(self.failures, 10))  # noqa: S311
        self.failures += 1
        return min(longest, _LONGEST_PAUSE_SECONDS * random.uniform(0.5, 1.0))  # noqa: S311
