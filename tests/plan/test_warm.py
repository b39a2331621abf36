"""When a pod is warm, and how long that took."""

from datetime import timedelta
from typing import Any

import pytest

from agent.plan.pod import PodView
from agent.plan.warm import Never, NotYet, Warm, warmth
from chrek.pods import names

from ..pods.making import PROBE, container, pod
from ..webhook.worlds import admitted, known, ready
from .making import NOW, after, live, taken_on, unprobed, view, viewed


def asked(found: PodView, seconds: float = 300, *, file_there: bool | None = None) -> Any:
    """So long after the container's start."""
    return warmth(found, after(seconds), file_there=file_there)


def says(value: str) -> dict[str, str]:
    return {names.CHECKPOINT_AFTER: value}


@pytest.mark.parametrize("probe", ["readinessProbe", "startupProbe"])
def test_a_pod_with_a_probe_is_warm_once_it_is_ready(probe: str) -> None:
    one = unprobed(**{probe: PROBE})
    assert asked(viewed(one, ready_after=40)) == Warm(40.0)
    assert isinstance(asked(viewed(one, ready_after=None)), NotYet)


def test_a_pod_without_a_probe_is_never_warm_and_says_so() -> None:
    found = asked(viewed(unprobed()))
    assert isinstance(found, Never)
    assert found.reason == "NeverWarm"
    assert names.CHECKPOINT_AFTER in found.message


def test_a_probe_that_chrek_added_says_nothing() -> None:
    plain = pod(unprobed())
    found = view(live(admitted(plain, known(ready(plain)))))
    assert isinstance(asked(found), Never)


def test_seconds_are_counted_from_the_containers_start() -> None:
    found = viewed(unprobed(), annotations=says("90"))
    early = asked(found, 60)
    assert isinstance(early, NotYet)
    assert early.again_seconds == pytest.approx(30)
    assert asked(found, 90) == Warm(90.0)
    assert asked(found, 200) == Warm(90.0)


def test_a_file_says_it_too() -> None:
    found = viewed(unprobed(), annotations=says("file:/tmp/warm"))
    for there in (False, None):
        early = asked(found, file_there=there)
        assert isinstance(early, NotYet)
        assert early.again_seconds == 1
    assert asked(found, 12, file_there=True) == Warm(12.0)


def test_who_has_probes_and_asks_for_more_gets_both() -> None:
    asking = {"annotations": says("90")}
    assert isinstance(asked(viewed(**asking, ready_after=None), 200), NotYet)
    assert isinstance(asked(viewed(**asking, ready_after=40), 60), NotYet)
    assert asked(viewed(**asking, ready_after=40), 100) == Warm(90.0)
    assert asked(viewed(**asking, ready_after=95), 100) == Warm(95.0)
    file = {"annotations": says("file:/tmp/warm")}
    assert isinstance(asked(viewed(**file, ready_after=None), file_there=True), NotYet)


def test_a_ready_of_the_container_before_is_not_this_ones() -> None:
    found = live(taken_on())
    found["status"]["conditions"][0]["lastTransitionTime"] = "2026-03-01T11:00:00Z"
    assert isinstance(asked(view(found)), NotYet)


def test_a_container_that_does_not_run_is_not_warm() -> None:
    found = live(taken_on())
    found["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    assert isinstance(asked(view(found)), NotYet)
    found = live(taken_on(unprobed(), annotations=says("1")))
    found["status"]["phase"] = "Succeeded"
    assert isinstance(asked(view(found)), NotYet)


def test_a_pod_that_is_not_chreks_is_never_captured() -> None:
    found = asked(view(live(pod())))
    assert isinstance(found, Never)
    assert found.reason == "NotTakenOn"


def test_a_pod_whose_annotation_was_spoilt_is_never_captured() -> None:
    found = asked(view(**{names.ON_FAILURE: "shrug"}))
    assert isinstance(found, Never)
    assert found.reason == "InvalidAnnotation"


def test_a_clock_that_is_behind_makes_no_time_negative() -> None:
    found = viewed(unprobed(), annotations=says("file:/tmp/warm"))
    assert warmth(found, NOW - timedelta(days=1), file_there=True) == Warm(0.0)


def test_a_sidecar_that_is_not_ready_holds_it_up() -> None:
    found = live(taken_on(container(), container(name="side")), ready_after=None)
    assert isinstance(asked(view(found)), NotYet)
