"""What an operator can watch: /metrics in Prometheus' text format."""

from collections.abc import Sequence

from prometheus_client import Counter, Gauge, Histogram

from chrek.kube.listwatch import ListWatch
from chrek.kube.metrics import ProcessMetrics

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics(ProcessMetrics):
    """Of one webhook process."""

    def __init__(self, watches: Sequence[ListWatch] = ()) -> None:
        super().__init__(watches)
        self._requests = Counter(
            "chrek_admission_requests",
            "Admission requests by what became of the pod",
            ["outcome"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "chrek_admission_seconds",
            "Time to answer an admission request",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.certificate_expiry = Gauge(
            "chrek_certificate_expiry_timestamp_seconds",
            "When the certificate that is served ends, as a Unix time",
            registry=self.registry,
        )

    def answered(self, outcome: str, seconds: float) -> None:
        """One admission request. outcome: source, placeholder, unchanged, again, ignored, invalid,
        failed."""
        self._requests.labels(outcome).inc()
        self._seconds.observe(seconds)
