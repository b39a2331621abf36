"""What a node's agent takes from a pod, whatever its form."""

import copy
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.plan.container import Exit, LivenessBudget
from agent.plan.pod import PodView, parse
from chrek.pods import names

from ..pods.making import IMAGE, PROBE, container, few, pod, pods
from ..webhook.worlds import admitted, known, learned, ready
from .making import NOW, STARTED, anything, live, taken_on, unprobed, view, viewed

COMMANDLESS = pod(container(command=None, args=["--port", "80"]))


def test_a_pod_that_admission_took_on_is_chreks() -> None:
    found = view()
    assert found.wrapped
    assert not found.learn
    assert found.container == "main"
    assert found.role == "source"
    assert found.checkpoint_id == found.identity
    assert found.first_word_seconds == 2
    assert found.claim == "chrek-checkpoints"
    assert found.in_init
    assert not found.checkpoint_image
    assert not found.command_of_image
    assert found.problem == ""
    assert found.created == STARTED - timedelta(seconds=10)


def test_a_placeholder_waits_for_as_long_as_admission_said() -> None:
    plain = pod()
    found = view(live(admitted(plain, known(ready(plain, seconds=37.2)))))
    assert found.role == "placeholder"
    assert found.first_word_seconds == 38


def test_a_checkpoint_image_has_the_claim_in_the_container_itself() -> None:
    found = viewed(annotations={names.CHECKPOINT_IMAGE: "ours:1"})
    assert found.checkpoint_image
    assert not found.in_init


def test_a_pod_that_admission_left_alone_is_not_chreks() -> None:
    plain = pod()
    del plain["metadata"]["annotations"]["chrek.io/checkpoint"]
    found = view(live(plain))
    assert not found.wrapped
    assert not found.learn
    assert not found.annotated
    assert found.container is None
    assert found.checkpoint_id is None


def test_a_pod_that_no_admission_looked_at_is_not_chreks_whatever_it_says() -> None:
    forged = live(taken_on())
    forged["metadata"]["labels"][names.COMPONENT_LABEL] = "agent"
    found = view(forged)
    assert not found.wrapped
    assert not found.learn
    assert not found.annotated
    assert found.checkpoint_id is None


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"hostPID": True}, "hostPID"),
        ({"runtimeClassName": "gvisor"}, "sandbox"),
        ({"containers": [container(tty=True)]}, "terminals"),
        ({"containers": [container(command=["/sbin/init"])]}, "must be PID 1"),
    ],
)
def test_a_pod_that_was_refused_says_why(spec: dict[str, Any], words: str) -> None:
    refused = live(pod())
    refused["spec"] |= spec
    found = view(refused)
    assert found.annotated
    assert not found.wrapped
    assert not found.learn
    assert words in found.problem


def test_a_misspelt_annotation_is_told_and_harms_no_pod_that_was_taken_on() -> None:
    misspelt = live(pod())
    annotations = misspelt["metadata"]["annotations"]
    annotations["chrek.io/chekpoint"] = annotations.pop(names.CHECKPOINT)
    found = view(misspelt)
    assert found.annotated
    assert "did you mean chrek.io/checkpoint?" in found.problem
    fine = live(taken_on())
    fine["metadata"]["annotations"]["chrek.io/chekpoint"] = "auto"
    assert view(fine).problem == ""


def test_labels_alone_make_no_pod_chreks() -> None:
    plain = live(pod())
    plain["metadata"]["labels"][names.ROLE_LABEL] = "placeholder"
    plain["metadata"]["annotations"][names.CHECKPOINT_ID] = "f" * 16
    found = view(plain)
    assert found.annotated
    assert not found.wrapped
    assert found.role is None
    assert found.checkpoint_id is None


def test_an_annotated_pod_without_a_command_is_one_to_learn_from() -> None:
    found = view(live(admitted(COMMANDLESS)))
    assert found.learn
    assert not found.wrapped
    assert found.container == "main"
    chosen = found.chosen
    assert chosen is not None
    assert chosen.image == IMAGE


def test_what_is_learned_goes_where_admission_will_look_for_the_same_pod() -> None:
    stranger = view(live(admitted(COMMANDLESS)))
    taken = admitted(COMMANDLESS, known(images=learned(["serve"], [])))
    assert view(live(taken)).command_of_image
    assert view(live(taken)).checkpoint_id == stranger.checkpoint_id
    named = copy.deepcopy(COMMANDLESS)
    named["metadata"]["annotations"]["chrek.io/checkpoint"] = "mine"
    assert view(live(admitted(named))).checkpoint_id == "mine"


def test_nothing_is_learned_of_an_image_that_another_would_run_in_place_of() -> None:
    found = pod(container(command=None), annotations={names.CHECKPOINT_IMAGE: "ours:1"})
    assert not view(live(admitted(found))).learn


def test_a_command_is_never_learned_where_there_is_one() -> None:
    assert not view(live(pod())).learn


@pytest.mark.parametrize(
    ("annotations", "chosen"),
    [
        ({}, "main"),
        ({names.CONTAINER: "side"}, "side"),
        ({names.DEFAULT_CONTAINER: "side"}, "main"),
    ],
)
def test_the_container_is_the_one_that_admission_would_choose(
    annotations: dict[str, str], chosen: str
) -> None:
    listed = [container(name=name, command=None) for name in ("first", "side", "main")]
    assert view(live(pod(*listed, annotations=annotations))).container == chosen


def test_without_a_main_the_default_container_is_chosen_else_the_first() -> None:
    listed = [container(name=name, command=None) for name in ("first", "side")]
    default = {names.DEFAULT_CONTAINER: "side"}
    assert view(live(pod(*listed, annotations=default))).container == "side"
    assert view(live(pod(*listed))).container == "first"
    wrong = view(live(pod(*listed, annotations={names.CONTAINER: "none"})))
    assert not wrong.learn
    assert "no such container" in wrong.problem


def test_a_namespace_sets_defaults_and_switches_nothing_on() -> None:
    found = parse(live(taken_on()), {names.ON_FAILURE: "fail", names.CHECKPOINT_AFTER: "60"})
    assert found.wish is not None
    assert found.wish.on_failure == "fail"
    plain = pod()
    del plain["metadata"]["annotations"]["chrek.io/checkpoint"]
    assert parse(live(plain), {names.CHECKPOINT: "auto"}).wish is None


def test_a_wish_that_makes_no_sense_any_more_is_a_problem_and_not_an_error() -> None:
    found = parse(live(taken_on()), {names.RESTORE_TIMEOUT: "soon"})
    assert found.wrapped
    assert found.wish is None
    assert "soon" in found.problem


def test_an_id_that_would_lead_elsewhere_on_a_disk_is_none() -> None:
    forged = live(taken_on())
    forged["metadata"]["annotations"][names.CHECKPOINT_ID] = "../../other"
    found = view(forged)
    assert found.checkpoint_id is None
    assert "'../../other'" in found.problem


@pytest.mark.parametrize(
    ("owners", "labels", "workload"),
    [
        ([("ReplicaSet", "web-77", True)], {"pod-template-hash": "77"}, "Deployment/web"),
        ([("ReplicaSet", "web-77", True)], {}, "ReplicaSet/web-77"),
        ([("StatefulSet", "db", True)], {}, "StatefulSet/db"),
        ([("Job", "train-28123", True)], {}, "Job/train-28123"),
        ([("Thing", "x", False)], {}, "Pod/web-5d9c7b8f6-x7k2p"),
        ([], {}, "Pod/web-5d9c7b8f6-x7k2p"),
    ],
)
def test_a_workload_is_what_people_call_it(
    owners: list[tuple[str, str, bool]], labels: dict[str, str], workload: str
) -> None:
    listed = [{"kind": k, "name": n, "controller": c} for k, n, c in owners]
    found = view(live(taken_on(), ownerReferences=listed, labels=labels))
    assert found.workload == workload


def test_a_containers_status_is_read() -> None:
    found = live(taken_on(container(livenessProbe=PROBE | {"failureThreshold": 7})))
    found["status"]["containerStatuses"][0] |= {
        "restartCount": 2,
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }
    chosen = view(found).chosen
    assert chosen is not None
    assert chosen.running_since == STARTED
    assert chosen.restarts == 2
    assert chosen.container_id == "c" * 64
    assert chosen.ended is None
    assert chosen.ended_before == Exit(137, "OOMKilled")
    assert chosen.liveness == LivenessBudget(10, 7, 1, 0)


def test_a_probe_of_chreks_own_is_not_the_users() -> None:
    plain = pod(unprobed())
    chosen = view(live(admitted(plain, known(ready(plain))))).chosen
    assert chosen is not None
    assert not chosen.has_probe
    probed = pod(container(startupProbe=PROBE))
    chosen = view(live(admitted(probed, known(ready(probed))))).chosen
    assert chosen is not None
    assert chosen.has_startup
    assert chosen.has_readiness


def test_variables_are_sorted_by_where_they_come_from() -> None:
    env = [
        {"name": "A", "value": "1"},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
    ]
    chosen = viewed(container(env=env)).chosen
    assert chosen is not None
    variables = chosen.variables
    assert variables.plain == frozenset()
    assert variables.references == {"A", "B", "D"}
    assert variables.fields == {"C"}
    assert not variables.sources


@few
@given(pods())
def test_what_admission_takes_on_the_agent_takes_for_its_own(found: Any) -> None:
    images = learned(["entry"], ["cmd"], "a:1") | learned([], ["cmd"], "b@sha256:0")
    made = admitted(found, known(images=images))
    is_taken = names.AS_WRITTEN in made["metadata"]["annotations"]
    seen = view(live(made))
    assert seen.wrapped == is_taken
    if is_taken:
        assert seen.checkpoint_id == made["metadata"]["annotations"][names.CHECKPOINT_ID]
        assert seen.chosen is not None


def damaged(found: Any, draw: st.DataObject) -> Any:
    """`found` with something else at one of its places."""
    if isinstance(found, dict) and found and draw.draw(st.integers(0, 3)):
        key = draw.draw(st.sampled_from(sorted(found)))
        return {**found, key: damaged(found[key], draw)}
    if isinstance(found, list) and found and draw.draw(st.integers(0, 3)):
        place = draw.draw(st.integers(0, len(found) - 1))
        return [*found[:place], damaged(found[place], draw), *found[place + 1 :]]
    return draw.draw(anything)


@few
@given(st.data(), st.booleans())
def test_a_pod_of_any_form_gives_a_view(draw: st.DataObject, is_wrapped: bool) -> None:
    found = live(taken_on() if is_wrapped else COMMANDLESS)
    for _ in range(draw.draw(st.integers(1, 3))):
        found = damaged(found, draw)
    if isinstance(found, dict):
        seen = parse(found, {})
        assert isinstance(seen, PodView)
        assert seen.container is None or seen.chosen is not None
        hash(seen)


def test_there_is_a_time_for_everything() -> None:
    assert view().ready_at == STARTED + timedelta(seconds=40)
    assert view().ready_at < NOW  # type: ignore[operator]
