"""How long a capture holds the source still, and how long the kubelet bears that."""

from typing import Final

from agent.plan.container import LivenessBudget

BYTES_PER_SECOND: Final = 500_000_000
"""What CRIU writes to a middling disk while everything is frozen; a faster one only freezes for
less. (Measured: stock CRIU dumps 2.4 GB/s into a page cache.)"""
BASE_SECONDS: Final = 0.5
"""For what does not depend on size: entering, seizing, the files that changed."""


def estimated_seconds(memory_bytes: int) -> float:
    """For a source that has so much in memory."""
    return BASE_SECONDS + memory_bytes / BYTES_PER_SECOND


def tolerated_seconds(liveness: LivenessBudget) -> float:
    """The longest silence that a liveness probe surely bears.

    Were a probe asked at the first moment of it, that and those that follow one period apart fail,
    and the last of them, after its timeout, has the kubelet end the container.
    """
    between = max(liveness.period_seconds, liveness.timeout_seconds)
    return float((liveness.failure_threshold - 1) * between + liveness.timeout_seconds)
