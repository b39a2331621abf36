"""What every process of chrek in a cluster tells Prometheus: its version, what it takes of the
machine, how its watches do."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest

from chrek import __version__
from chrek.kube.listwatch import ListWatch

CONTENT_TYPE = "text/plain; version=0.0.4"


class ProcessMetrics:
    """A page of one process; who derives from this adds its own to `registry`. watches: may be
    others by the next page.
    """

    def __init__(self, watches: Sequence[ListWatch] = ()) -> None:
        self.registry = CollectorRegistry()
        self.watches = watches
        ProcessCollector(registry=self.registry)
        build = Gauge("chrek_build_info", "Always 1", ["version"], registry=self.registry)
        build.labels(__version__).set(1)
        self._listed = Gauge(
            "chrek_watch_listed", "1 once all objects are known", ["path"], registry=self.registry
        )
        self._failures = Gauge(
            "chrek_watch_failures",
            "Failures of a watch since its last good answer",
            ["path"],
            registry=self.registry,
        )

    def text(self) -> bytes:
        """The page, of CONTENT_TYPE."""
        for watch in self.watches:
            self._listed.labels(watch.path).set(watch.health.listed.is_set())
            self._failures.labels(watch.path).set(watch.health.failures)
        return generate_latest(self.registry)
