"""Samples -> figures: medians, spreads, ratios, and what is to be reached."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bench.measure import Sample

OWN_SECONDS_NOW: Final = 0.150
OWN_SECONDS_LATER: Final = 0.100
FREEZE_RATIO: Final = 1.2

NOT_OWN: Final = ("criu", "container", "pages")


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds of one metric over the rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


Metric = Callable[[Sample], float]

COMPARED: Final[dict[str, Metric]] = {
    "checkpoint, wall": lambda sample: sample.checkpointed.seconds,
    "source frozen": lambda sample: sample.checkpointed.frozen_seconds,
    "restore, wall": lambda sample: sample.restored.seconds,
    "restore, first answer": lambda sample: sample.answer_seconds,
}
"""What every side has."""


def own_seconds(sample: Sample) -> float:
    """The engine's phases in a restore, without CRIU, filling pages and making the container."""
    phases = sample.restored.phases
    return sum(seconds for name, seconds in phases.items() if name not in NOT_OWN)


def between_seconds(sample: Sample) -> float:
    """What the engine needs between its phases, which no phase counts."""
    assert sample.restored.inner_seconds is not None
    return sample.restored.inner_seconds - sum(sample.restored.phases.values())


def command_seconds(sample: Sample) -> float:
    """Of the command before and after the engine: Python, imports, tidying."""
    assert sample.restored.inner_seconds is not None
    return sample.restored.seconds - sample.restored.inner_seconds


RESTORE_PARTS: Final[dict[str, Metric]] = {
    "engine's own phases": own_seconds,
    "between its phases": between_seconds,
    "engine's own, both": lambda sample: own_seconds(sample) + between_seconds(sample),
    "CRIU": lambda sample: sample.restored.phases["criu"],
    "filling pages": lambda sample: sample.restored.phases.get("pages", 0.0),
    "making the container": lambda sample: sample.restored.phases["container"],
    "the command (Python starts)": command_seconds,
}
"""Where chrek's restore spends its wall time: the last five rows add up to it."""


def medians(phases: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of each phase."""
    names = dict.fromkeys(name for found in phases for name in found)
    return {
        name: statistics.median([found[name] for found in phases if name in found])
        for name in names
    }
