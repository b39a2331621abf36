"""What an operator can watch: /metrics in Prometheus' text format."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from chrek import __version__
from chrek.kube.listwatch import ListWatch

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """Of one webhook process."""

    def __init__(self, watches: Sequence[ListWatch] = ()) -> None:
        self._watches = watches
        self._registry = CollectorRegistry()
        build = Gauge("chrek_build_info", "Always 1", ["version"], registry=self._registry)
        build.labels(__version__).set(1)
        self._requests = Counter(
            "chrek_admission_requests",
            "Admission requests by what became of the pod",
            ["outcome"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "chrek_admission_seconds",
            "Time to answer an admission request",
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.certificate_expiry = Gauge(
            "chrek_certificate_expiry_timestamp_seconds",
            "When the certificate that is served ends, as a Unix time",
            registry=self._registry,
        )
        self._listed = Gauge(
            "chrek_watch_listed", "1 once all objects are known", ["path"], registry=self._registry
        )
        self._failures = Gauge(
            "chrek_watch_failures",
            "Failures of a watch since its last good answer",
            ["path"],
            registry=self._registry,
        )

    def answered(self, outcome: str, seconds: float) -> None:
        """One admission request. outcome: source, placeholder, unchanged, again, ignored, invalid,
        failed."""
        self._requests.labels(outcome).inc()
        self._seconds.observe(seconds)

    def text(self) -> bytes:
        """The page."""
        for watch in self._watches:
            self._listed.labels(watch.path).set(watch.health.listed.is_set())
            self._failures.labels(watch.path).set(watch.health.failures)
        return generate_latest(self._registry)
