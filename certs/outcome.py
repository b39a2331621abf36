"""Outcome: what one round of looking and acting leaves to wait for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """due_seconds: when to look again although nothing changed. settled: nothing is under way.
    wrote: something was changed. secret_since, configuration_since: where to watch from; None:
    not watched.
    """

    due_seconds: float
    settled: bool
    wrote: bool = False
    secret_since: str | None = None
    configuration_since: str | None = None
