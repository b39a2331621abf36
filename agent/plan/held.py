"""Whether the lease on a Checkpoint is held.

Clocks of two nodes are compared here, so they have to agree to within some seconds.
"""

from datetime import datetime, timedelta
from typing import Final

from agent.plan.checkpoint import Lease
from agent.plan.pod import PodView

LEASE_SECONDS: Final = 60
RENEW_SECONDS: Final = 15
MOST_FAILURES: Final = 3
"""Failures of capturing in a row; then nobody tries again."""
BACKOFF_SECONDS: Final = (60, 300)
"""After the first failure, and the second."""


def backoff_seconds(failures: int) -> int:
    """How long to wait after so many failures in a row."""
    return BACKOFF_SECONDS[min(max(failures, 1), len(BACKOFF_SECONDS)) - 1]


def is_held(lease: Lease | None, now: datetime) -> bool:
    """Whether somebody captures. A renewal that lies far ahead is of a wrong clock, and would
    hold for as long.
    """
    if lease is None or lease.renewed is None:
        return False
    return abs(now - lease.renewed) < timedelta(seconds=LEASE_SECONDS)


def is_own(lease: Lease, node: str, pod: PodView) -> bool:
    """Whether it is of this pod on this node, perhaps of a former life of this agent."""
    return lease.node == node and lease.pod_uid == pod.uid


def wait_seconds(lease: Lease | None, now: datetime, *, node: str, pod: PodView) -> float:
    """How long this pod's capture has to wait; 0 if it may take the lease.

    A lease that its agent let lapse is a capture that died with it. The next attempt waits as after
    a failure, and after the first for no longer than the lease.
    """
    if lease is None:
        return 0.0
    if is_held(lease, now) and lease.renewed:
        is_others = not is_own(lease, node, pod)
        return _until(lease.renewed + timedelta(seconds=LEASE_SECONDS), now) if is_others else 0.0
    if lease.renewed and lease.failures and lease.renewed <= now:
        lapsed = timedelta(seconds=backoff_seconds(lease.failures + 1))
        return _until(lease.renewed + lapsed, now)
    if lease.retry_after is None:
        return 0.0
    return _until(lease.retry_after, now)


def _until(then: datetime, now: datetime) -> float:
    """Never longer than the longest wait that chrek itself would write."""
    left = (then - now).total_seconds()
    return min(left, float(max(*BACKOFF_SECONDS, LEASE_SECONDS))) if left > 0 else 0.0
