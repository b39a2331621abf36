"""The page that Prometheus reads."""

from prometheus_client.parser import text_string_to_metric_families

from webhook.knowledge.cluster import Cluster
from webhook.server.metrics import Metrics

from .test_knowledge import FakeAPI


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    """(name, the one label's value) -> value."""
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def test_a_page_without_any_request_is_a_page() -> None:
    found = samples(Metrics())
    assert found["chrek_admission_seconds_count", ""] == 0
    assert next(value for (name, _), value in found.items() if name == "chrek_build_info") == 1


def test_outcomes_and_times_are_counted() -> None:
    metrics = Metrics()
    metrics.answered("source", 0.002)
    metrics.answered("source", 7.0)
    metrics.answered("failed", 0.002)
    found = samples(metrics)
    assert found["chrek_admission_requests_total", "source"] == 2
    assert found["chrek_admission_requests_total", "failed"] == 1
    assert found["chrek_admission_seconds_bucket", "0.0025"] == 2
    assert found["chrek_admission_seconds_bucket", "+Inf"] == 3


def test_watches_say_whether_they_have_listed_and_how_often_they_failed() -> None:
    watches = Cluster(FakeAPI({}), "ml").watches
    metrics = Metrics(watches)
    watches[0].health.listed.set()
    watches[1].health.failures = 4
    found = samples(metrics)
    assert found["chrek_watch_listed", watches[0].path] == 1
    assert found["chrek_watch_listed", watches[1].path] == 0
    assert found["chrek_watch_failures", watches[1].path] == 4


def test_two_processes_in_one_do_not_share_their_numbers() -> None:
    one, other = Metrics(), Metrics()
    one.answered("source", 1.0)
    one.certificate_expiry.set(5)
    assert ("chrek_admission_requests_total", "source") not in samples(other)
    assert samples(one)["chrek_certificate_expiry_timestamp_seconds", ""] == 5
