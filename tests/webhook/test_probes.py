"""Probes of a placeholder are quick to see that it is warm, and as patient as they were."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.admission import probes as adjusting

from ..pods.making import PROBE, container, few, pod, probes
from .worlds import admitted, known, main, ready

KINDS = ("startupProbe", "readinessProbe", "livenessProbe")
SLOW = {**PROBE, "initialDelaySeconds": 40, "periodSeconds": 5, "failureThreshold": 4}
READY = {"command": ["/chrek/chrek-init", "ready"]}


def of(timeout: float = 10, **written: Any) -> dict[str, Any]:
    """The probes of a placeholder that waits so long, by kind."""
    found = pod(container(**({"readinessProbe": None} | written)))
    made = main(admitted(found, known(ready(found, timeout))))
    return {kind: made[kind] for kind in KINDS if kind in made}


def patience(probe: dict[str, Any]) -> int:
    """From the container's start, the seconds that a probe which fails at once tolerates."""
    delay: int = probe.get("initialDelaySeconds", 0)
    return delay + probe["periodSeconds"] * probe["failureThreshold"]


def test_readiness_is_asked_at_once_and_every_second() -> None:
    found = of(readinessProbe=SLOW)["readinessProbe"]
    assert "initialDelaySeconds" not in found
    assert found["periodSeconds"] == 1
    assert found["failureThreshold"] == 5 * 4, "it may fail as long as before"


def test_startup_is_asked_at_once_and_may_fail_as_long_as_before_and_a_restore_more() -> None:
    found = of(startupProbe=SLOW)["startupProbe"]
    assert "initialDelaySeconds" not in found
    assert patience(found) == patience(SLOW) + 10


def test_liveness_begins_later_by_a_restore_and_stays_as_it_is() -> None:
    assert of(livenessProbe=SLOW, readinessProbe=PROBE)["livenessProbe"] == {
        **SLOW,
        "initialDelaySeconds": 50,
    }
    bare = {key: value for key, value in SLOW.items() if key != "initialDelaySeconds"}
    assert of(livenessProbe=bare)["livenessProbe"]["initialDelaySeconds"] == 10


def test_without_a_probe_that_says_it_is_ready_chrek_init_says_it() -> None:
    for written in ({}, {"livenessProbe": SLOW}):
        found = of(**written)["startupProbe"]
        assert found["exec"] == READY
        assert found["periodSeconds"] == 1
        assert found["successThreshold"] == 1, "as the API server would fill in"
        assert found["failureThreshold"] == 2**31 - 1


@pytest.mark.parametrize("kind", ["startupProbe", "readinessProbe"])
def test_a_probe_of_the_users_is_enough(kind: str) -> None:
    assert of(**{kind: PROBE}).keys() == {kind}


def test_in_an_image_of_its_own_chrek_init_is_asked_there() -> None:
    annotations = {"chrek.io/checkpoint-image": "with-chrek:1"}
    found = pod(container(readinessProbe=None), annotations=annotations)
    made = main(admitted(found, known(ready(found, image="with-chrek:1"))))
    assert made["startupProbe"]["exec"]["command"] == ["/opt/chrek/chrek-init", "ready"]


def test_probes_of_a_source_are_the_users_own() -> None:
    written = container(startupProbe=SLOW, readinessProbe=SLOW, livenessProbe=SLOW)
    made = main(admitted(pod(written)))
    assert {kind: made[kind] for kind in KINDS} == dict.fromkeys(KINDS, SLOW)
    assert "startupProbe" not in main(admitted(pod(container(readinessProbe=None))))


@few
@given(probes, probes, probes, st.integers(2, 300))
def test_any_probes_keep_their_action_and_their_patience(
    startup: dict[str, Any], readiness: dict[str, Any], liveness: dict[str, Any], timeout: int
) -> None:
    found = of(timeout, startupProbe=startup, readinessProbe=readiness, livenessProbe=liveness)
    timing = {"initialDelaySeconds", "periodSeconds", "failureThreshold"}
    for kind, written in zip(KINDS, (startup, readiness, liveness), strict=True):
        kept = {key: value for key, value in found[kind].items() if key not in timing}
        assert kept == {key: value for key, value in written.items() if key not in timing}
    assert patience(found["startupProbe"]) == patience(startup) + timeout
    without_delay = {**readiness, "initialDelaySeconds": 0}
    assert patience(found["readinessProbe"]) == patience(without_delay)
    assert patience(found["livenessProbe"]) == patience(liveness) + timeout


def test_numbers_at_their_limit_stay_what_an_api_server_takes() -> None:
    most = 2**31 - 1
    huge = {**PROBE, "initialDelaySeconds": most, "periodSeconds": most, "failureThreshold": most}
    found = of(startupProbe=huge, readinessProbe=huge, livenessProbe=huge)
    numbers = [value for one in found.values() for value in one.values() if isinstance(value, int)]
    assert max(numbers) == most


def test_numbers_that_are_not_written_are_the_documented_ones() -> None:
    found = adjusting.adjusted({"readinessProbe": {"tcpSocket": {"port": 1}}}, 7, in_image=False)
    assert found == {
        "readinessProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 1, "failureThreshold": 30}
    }
