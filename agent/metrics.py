"""What an operator can watch of one agent: /metrics in Prometheus' text format."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, get_args

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.store.nodecache import NodeCache, Reason, Result
from chrek.kube.listwatch import ListWatch
from chrek.kube.metrics import ProcessMetrics

_BUCKETS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
)  # fmt: skip
"""Seconds: the agent's own steps take milliseconds, the pages of a large model half a minute."""

_PHASES: Final = ("Pending", "Capturing", "Ready", "Failed")
"""Of Checkpoints; those of which there are none are shown as 0."""


class Metrics(ProcessMetrics):
    """Of one agent process. A `reason` is one CamelCase word, of an error or of a decision."""

    def __init__(self, watches: Sequence[ListWatch] = ()) -> None:
        super().__init__(watches)
        registry = self.registry
        self._restores = Counter(
            "chrek_restores",
            "Starts of containers that could have been restored: restored, failed, cold",
            ["outcome", "reason"],
            registry=registry,
        )
        self._captures = Counter(
            "chrek_captures",
            "Captures: published, failed, refused",
            ["outcome", "reason"],
            registry=registry,
        )
        self._phases = Histogram(
            "chrek_phase_seconds",
            "Time of each phase of what succeeded",
            ["operation", "phase"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._bytes = Counter(
            "chrek_checkpoint_bytes",
            "Bytes of checkpoints that were read or written",
            ["direction"],
            registry=registry,
        )
        self._waiting = Gauge(
            "chrek_placeholders_waiting",
            "Placeholders on this node that wait for their turn to be restored",
            registry=registry,
        )
        self._checkpoints = Gauge(
            "chrek_checkpoints",
            "Checkpoints of the watched namespaces; each agent sees the same",
            ["phase"],
            registry=registry,
        )
        self.cache: NodeCache | None = None
        registry.register(_OfCache(self))
        for direction in ("read", "written"):
            self._bytes.labels(direction)
        self.checkpoints({})

    def restored(
        self, reason: str | None, phases: Mapping[str, float] | None = None, size_bytes: int = 0
    ) -> None:
        """A restore ended; reason: why it failed. phases: seconds of each. size_bytes: read."""
        self._restores.labels("failed" if reason else "restored", reason or "").inc()
        self._bytes.labels("read").inc(size_bytes)
        if not reason:
            self._took("restore", phases or {})

    def cold(self, reason: str) -> None:
        """A container starts cold with nothing tried."""
        self._restores.labels("cold", reason).inc()

    def captured(
        self, reason: str | None, phases: Mapping[str, float] | None = None, size_bytes: int = 0
    ) -> None:
        """A capture ended; reason: why it failed. phases: seconds of each. size_bytes: written."""
        self._captures.labels("failed" if reason else "published", reason or "").inc()
        self._bytes.labels("written").inc(size_bytes)
        if not reason:
            self._took("capture", phases or {})

    def refused(self, reason: str) -> None:
        """A capture was not begun, since it would do harm or nobody would gain."""
        self._captures.labels("refused", reason).inc()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A placeholder waits for its turn meanwhile."""
        with self._waiting.track_inprogress():
            yield

    def checkpoints(self, by_phase: Mapping[str, int]) -> None:
        """So many there are now."""
        for phase in _PHASES:
            self._checkpoints.labels(phase).set(by_phase.get(phase, 0))

    def _took(self, operation: str, phases: Mapping[str, float]) -> None:
        for phase, seconds in phases.items():
            self._phases.labels(operation, phase).observe(seconds)


class _OfCache(Collector):
    """What the node's directory counts itself."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        cache = self._metrics.cache
        if cache is None:
            return
        found = CounterMetricFamily(
            "chrek_node_cache_restores",
            "Restores by what they found in the node's directory: hit, miss, damaged",
            labels=["result"],
        )
        for result in get_args(Result):
            found.add_metric([result], cache.results[result])
        dropped = CounterMetricFamily(
            "chrek_node_cache_dropped",
            "Copies that went: for room, since the checkpoint was removed, since they were damaged",
            labels=["reason"],
        )
        for reason in get_args(Reason):
            dropped.add_metric([reason], cache.dropped[reason])
        yield found
        yield dropped
        taken = cache.copied_bytes
        yield GaugeMetricFamily("chrek_node_cache_bytes", "What copies take now", value=taken)
