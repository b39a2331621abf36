"""A pod that comes by again is judged by what its user wrote, and changed once only."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chrek.pods import names, wrapping
from chrek.pods.written import as_written, record
from webhook.admission.known import Checkpoint, Known, Options
from webhook.admission.review import Reviewed

from ..pods.making import PROBE, Pod, as_json, container, few, labels, pod, pods
from .worlds import CLAIM, OPTIONS, admitted, claim, known, learned, main, ready, refused, reviewed

IMAGES = learned(["entry", "$x"], ["cmd"], "a:1") | learned([], ["cmd"], "b@sha256:0")
PROFILE = Options(init_image="i", seccomp_profile="chrek/no-io-uring.json")
IN_IMAGE = {names.CHECKPOINT_IMAGE: "copy:1"}
SIDECAR = {"name": "proxy", "image": "mesh:1"}


def stays(found: Pod, world: Known | None = None, options: Options = OPTIONS) -> None:
    """Assert that a second look at `found` changes nothing and says nothing."""
    again = reviewed(found, world, options)
    assert again == Reviewed(found, None)
    assert again.pod is found


def id_of(found: Pod) -> str:
    name: str = found["metadata"]["annotations"][names.CHECKPOINT_ID]
    return name


def restorable(found: Pod, world: Known) -> Known:
    """`world` once the checkpoint of `found`, a source, can be restored."""
    made = admitted(found, world)
    name = made["metadata"]["annotations"].get(names.CHECKPOINT_ID)
    assume(name is not None)
    checkpoints = {name: Checkpoint(name, usable=True, identity=name)}
    return Known("ml", {}, checkpoints, world.claims, frozenset(), world.images)


worlds = st.just(known(images=IMAGES))


@few
@given(pods(), worlds, st.booleans(), st.sampled_from([OPTIONS, PROFILE]))
def test_any_pod_is_changed_once_and_can_be_read_back(
    found: Pod, world: Known, restores: bool, options: Options
) -> None:
    if restores:
        world = restorable(found, world)
    made = admitted(found, world, options)
    kept = record(made)
    assert (kept is None) == (made == found)
    if kept is not None:
        stays(made, world, options)
        assert as_written(made, kept) == found


@few
@given(pods(), worlds)
def test_knowledge_that_changed_in_between_moves_no_pod(found: Pod, world: Known) -> None:
    later = restorable(found, world)
    stays(admitted(found, world), later)
    stays(admitted(found, later), world)


@few
@given(pods(), worlds, st.booleans())
def test_a_pod_that_cannot_be_taken_on_any_more_is_given_back_as_it_was(
    found: Pod, world: Known, restores: bool
) -> None:
    made = admitted(found, restorable(found, world) if restores else world)
    assume(made != found)
    gone = known(claim(terminating=True), images=IMAGES)
    answer = reviewed(made, gone)
    assert answer.pod == found
    assert "is being deleted" in answer.warnings[0]


@few
@given(pods(), worlds, labels, st.integers(0, 2), st.randoms(use_true_random=False))
def test_what_other_webhooks_add_around_the_container_moves_nothing(
    found: Pod, world: Known, name: str, at: int, order: random.Random
) -> None:
    made = admitted(found, world)
    assume(made != found)
    assume(name not in {"main", *(one["name"] for one in found["spec"]["containers"])})
    made["spec"]["containers"].insert(at, {"name": name, "image": "mesh:1"})
    for one in [*made["spec"]["containers"], *made["spec"].get("initContainers", [])]:
        mount = {"name": f"kube-api-access-{name}", "mountPath": "/x"}
        mount["mountPath"] = "/var/run/secrets/kubernetes.io/serviceaccount"
        one["volumeMounts"] = [*one.get("volumeMounts", []), mount]
    made["spec"]["initContainers"] = [SIDECAR, *made["spec"].get("initContainers", [])]
    made["spec"]["volumes"] = [{"name": f"kube-api-access-{name}"}, *made["spec"]["volumes"]]
    made["metadata"]["annotations"] |= {"mesh/injected": name}
    made["metadata"]["labels"] |= {"mesh": name}
    order.shuffle(made["spec"]["volumes"])
    stays(made, world)


def test_a_sidecar_that_is_put_first_does_not_take_the_place_of_the_chosen_one() -> None:
    made = admitted(pod(container(name="app")))
    made["spec"]["containers"].insert(0, SIDECAR | {"command": ["proxy"]})
    stays(made)
    made["spec"]["containers"].append(container())
    stays(made)


def test_probes_that_a_mesh_rewrote_are_its_own() -> None:
    found = pod(container(livenessProbe=PROBE))
    world = known(ready(found))
    made = admitted(found, world)
    rewritten = {"httpGet": {"path": "/app-health", "port": 15020}}
    main(made)["readinessProbe"] |= rewritten
    stays(made, world)
    stripped = reviewed(made, known(claim(phase="Lost"))).pod
    assert main(stripped)["readinessProbe"]["httpGet"] == rewritten["httpGet"]
    assert main(stripped)["livenessProbe"] == PROBE


def test_a_variable_that_another_webhook_adds_is_counted() -> None:
    made = admitted(pod())
    first = id_of(made)
    main(made)["env"] = [{"name": "REGION", "value": "eu"}]
    again = admitted(made)
    assert id_of(again) != first
    assert main(again)["env"] == [{"name": "REGION", "value": "eu"}]
    assert id_of(again) == id_of(admitted(pod(container(env=[{"name": "REGION", "value": "eu"}]))))
    stays(again)


def test_an_image_that_another_webhook_moves_to_a_mirror_is_counted() -> None:
    made = admitted(pod())
    main(made)["image"] = "mirror.example/server:1"
    again = admitted(made)
    assert main(again)["image"] == "mirror.example/server:1"
    assert id_of(again) == id_of(admitted(pod(container(image="mirror.example/server:1"))))
    made = admitted(pod(annotations=IN_IMAGE))
    main(made)["image"] = "mirror.example/copy:1"
    stays(made)


EDITS: dict[str, Callable[[Pod, dict[str, Any]], object]] = {
    "args": lambda p, c: c.update(args=["--other"]),
    "command": lambda p, c: c["command"].append("--more"),
    "image": lambda p, c: c.update(image="other:2"),
    "env": lambda p, c: c.update(env=[{"name": "A", "value": "1"}]),
    "user": lambda p, c: c.update(securityContext={"runAsUser": 5}),
    "mount": lambda p, c: c["volumeMounts"].append({"name": "x", "mountPath": "/x"}),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
@pytest.mark.parametrize("bare", [False, True], ids=["own command", "command of the image"])
def test_a_copy_of_a_live_pod_that_was_edited_is_another_pod(
    edit: Callable[[Pod, dict[str, Any]], object], bare: bool
) -> None:
    written = pod(container(command=None, image="a:1") if bare else container(args=["--port"]))
    images = IMAGES | learned(["entry", "$x"], ["cmd"], "other:2")
    copied = admitted(written, known(images=images))
    edit(copied, main(copied))
    edited = as_json(main(copied))
    made = admitted(copied, known(images=images))
    assert id_of(made) != id_of(copied)
    for member in ("args", "env", "image", "securityContext"):
        assert main(made).get(member) == edited.get(member), "what was edited in stays"
    assert wrapping.unwrapped(main(made)["command"]) == wrapping.unwrapped(edited["command"])
    mounts = [mount["mountPath"] for mount in main(made)["volumeMounts"]]
    assert ("/x" in mounts) == (edit is EDITS["mount"])
    stays(made, known(images=images))


def test_a_copy_with_another_checkpoint_or_claim_goes_there() -> None:
    copied = admitted(pod())
    copied["metadata"]["annotations"][names.CLAIM] = "other"
    made = admitted(copied, known(claim(), claim("other")))
    assert [v for v in made["spec"]["volumes"] if v["name"] == "chrek-claim"] == [
        {"name": "chrek-claim", "persistentVolumeClaim": {"claimName": "other"}}
    ]
    made["metadata"]["annotations"][names.CHECKPOINT] = "mine"
    assert id_of(admitted(made, known(claim("other")))) == "mine"


def test_a_copy_that_is_switched_off_is_given_back_as_it_was() -> None:
    found = pod(container(livenessProbe=PROBE))
    copied = admitted(found, known(ready(found)))
    del copied["metadata"]["annotations"][names.CHECKPOINT]
    del found["metadata"]["annotations"]
    assert reviewed(copied).pod == found


def test_a_debugging_copy_runs_what_it_was_made_for() -> None:
    copied = admitted(pod())
    main(copied).update(command=["sh"], tty=True, stdin=True)
    assert any("has tty: true" in why for why in refused(copied))


def test_a_copy_that_shares_its_process_namespace_is_given_back_unwrapped() -> None:
    copied = admitted(pod())
    copied["spec"]["shareProcessNamespace"] = True
    answer = reviewed(copied)
    assert answer.pod == pod(shareProcessNamespace=True)
    assert "shareProcessNamespace" in answer.warnings[0]


def test_what_an_older_record_does_not_say_is_left_alone() -> None:
    copied = admitted(pod())
    copied["metadata"]["annotations"][names.AS_WRITTEN] = '{"container":"main"}'
    stays(copied)


@pytest.mark.parametrize("probe", [PROBE, None])
def test_a_large_record_is_still_read(probe: dict[str, Any] | None) -> None:
    script = {"exec": {"command": ["sh", "-c", "#" * (100 << 10)]}}
    found = pod(container(startupProbe=script, readinessProbe=probe))
    world = known(ready(found))
    stays(admitted(found, world), world)


def test_the_claim_that_is_named_is_the_default_one() -> None:
    assert CLAIM == names.DEFAULT_CLAIM
