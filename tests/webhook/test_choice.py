"""Which container is taken on, as what, under which name, and how long it waits."""

from typing import Any

import pytest

from chrek.pods import names, wrapping
from webhook.admission.decision import TakeOn
from webhook.admission.known import Checkpoint

from ..pods.making import PROBE, Pod, container, pod
from .worlds import admitted, known, main, ready, refused, reviewed

SIDECAR = {"name": "proxy", "image": "mesh:1", "command": ["proxy"]}
DEFAULT = {names.DEFAULT_CONTAINER: "app"}
APP = container(name="app")


def taken(found: Pod) -> list[str]:
    """The containers that run under chrek-init."""
    return [
        one["name"]
        for one in admitted(found)["spec"]["containers"]
        if wrapping.is_wrapped(one.get("command"))
    ]


def decided(found: Pod, *checkpoints: Checkpoint) -> TakeOn:
    decision = reviewed(found, known(*checkpoints)).decision
    assert isinstance(decision, TakeOn)
    return decision


@pytest.mark.parametrize(
    ("containers", "annotations", "chosen"),
    [
        ([SIDECAR, APP, container()], DEFAULT, "main"),
        ([SIDECAR, APP], DEFAULT, "app"),
        ([APP, SIDECAR], {}, "app"),
        ([APP, SIDECAR], {names.DEFAULT_CONTAINER: "gone"}, "app"),
        ([SIDECAR, container()], {names.CONTAINER: "proxy"}, "proxy"),
        ([container(), APP], DEFAULT | {names.CONTAINER: "app"}, "app"),
    ],
    ids=["main", "default", "first", "default is gone", "named", "named before main"],
)
def test_one_container_is_chosen(
    containers: list[dict[str, Any]], annotations: dict[str, str], chosen: str
) -> None:
    assert taken(pod(*containers, annotations=annotations)) == [chosen]


def test_a_name_that_no_container_has_leaves_the_pod_alone() -> None:
    assert refused(pod(annotations={names.CONTAINER: "gone"})) == [
        "chrek.io/container is gone, and the pod has no such container"
    ]


def test_an_init_container_cannot_be_chosen() -> None:
    setup = container(name="setup")
    found = pod(initContainers=[setup], annotations={names.CONTAINER: "setup"})
    assert "the pod has no such container" in refused(found)[0]


def test_other_containers_may_do_what_the_chosen_one_may_not() -> None:
    assert taken(pod(container(), {**SIDECAR, "tty": True, "command": ["/sbin/init"]})) == ["main"]


def test_a_pod_without_a_checkpoint_is_a_source() -> None:
    decision = decided(pod())
    assert decision.role == "source"
    assert decision.checkpoint_id == decision.identity
    assert decision.timeout_seconds == 2


def test_a_pod_with_one_is_a_placeholder() -> None:
    checkpoint = ready(pod())
    decision = decided(pod(), checkpoint)
    assert decision.role == "placeholder"
    assert decision.checkpoint_id == checkpoint.name


def test_a_checkpoint_that_cannot_be_restored_yet_makes_no_placeholder() -> None:
    found = pod()
    name = ready(found).name
    decision = decided(found, Checkpoint(name, usable=False, identity=name))
    assert (decision.role, decision.timeout_seconds) == ("source", 2)


def test_pods_that_differ_do_not_share_a_checkpoint() -> None:
    other = pod(container(env=[{"name": "A", "value": "1"}]))
    assert decided(other, ready(pod())).role == "source"


def test_pods_that_differ_in_ignored_variables_do() -> None:
    annotations = {names.IGNORE_ENV: "POD"}
    pods = [
        pod(container(env=[{"name": "POD", "value": value}]), annotations=annotations)
        for value in "ab"
    ]
    assert decided(pods[0]).checkpoint_id == decided(pods[1]).checkpoint_id


def test_a_named_checkpoint_is_used_by_the_pods_that_it_fits() -> None:
    found = pod(annotations={names.CHECKPOINT: "mine"})
    identity = ready(found).identity
    decision = decided(found, Checkpoint("mine", usable=True, identity=identity))
    assert (decision.role, decision.checkpoint_id) == ("placeholder", "mine")
    assert decision.identity == identity


def test_a_named_checkpoint_that_does_not_say_of_what_is_used() -> None:
    found = pod(annotations={names.CHECKPOINT: "mine"})
    assert decided(found, Checkpoint("mine", usable=True)).role == "placeholder"


def test_a_named_checkpoint_of_another_pod_is_not_even_waited_for() -> None:
    found = pod(annotations={names.CHECKPOINT: "mine"})
    for usable in (True, False):
        checkpoint = Checkpoint("mine", usable=usable, identity="0" * 16)
        assert "was made from a pod with another" in refused(found, known(checkpoint))[0]


@pytest.mark.parametrize(
    ("recorded", "asked", "seconds"),
    [
        (None, None, 300), (40.2, None, 41), (299.1, None, 300), (5000.0, None, 300),
        (0.0, None, 2), (1.2, None, 2), (40.0, "9", 9), (None, "3600", 3600), (40.0, "1", 2),
        (1e300, None, 300),
    ],
)  # fmt: skip
def test_a_placeholder_waits_as_long_as_a_cold_start_took_or_as_the_user_says(
    recorded: float | None, asked: str | None, seconds: int
) -> None:
    found = pod(annotations={names.RESTORE_TIMEOUT: asked} if asked else {})
    decision = decided(found, ready(found, recorded))
    assert decision.timeout_seconds == seconds
    command = main(admitted(found, known(ready(found, recorded))))["command"]
    assert command[:5] == ["/chrek/chrek-init", "wait", "--timeout", str(seconds), "--"]


def test_the_users_timeout_is_not_for_pods_that_have_nothing_to_wait_for() -> None:
    assert decided(pod(annotations={names.RESTORE_TIMEOUT: "900"})).timeout_seconds == 2


def test_a_pod_that_never_says_that_it_is_warm_is_told_so() -> None:
    bare = container(readinessProbe=None, livenessProbe=PROBE)
    assert reviewed(pod(bare)).warnings == (
        "chrek: container main has no startup or readiness probe, so it will not be checkpointed: "
        "add one, or say when it is warm with chrek.io/checkpoint-after",
    )
    for warm in (
        pod(container(readinessProbe=None, startupProbe=PROBE)),
        pod(bare, annotations={names.CHECKPOINT_AFTER: "5"}),
    ):
        assert reviewed(warm).warnings == ()
    assert reviewed(pod(bare), known(ready(pod(bare)))).warnings == ()


def test_an_unknown_annotation_does_not_stop_what_was_asked_for() -> None:
    answer = reviewed(pod(annotations={"chrek.io/restor-timeout": "5"}))
    assert isinstance(answer.decision, TakeOn)
    assert answer.warnings == (
        "chrek: annotation 'chrek.io/restor-timeout' is unknown; did you mean "
        "chrek.io/restore-timeout?",
    )


def test_a_namespaces_defaults_hold_for_its_pods() -> None:
    world = known(annotations={names.CONTAINER: "app", names.CHECKPOINT: "x"})
    decision = reviewed(pod(container(), APP), world).decision
    assert isinstance(decision, TakeOn)
    assert decision.container == 1
    assert decision.checkpoint_id == decision.identity
