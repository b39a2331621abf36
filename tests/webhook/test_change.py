"""What is added to a pod breaks no rule that the pod kept, and hides nothing from it."""

import copy
from typing import Any

import pytest
from hypothesis import given

from chrek.pods import names
from chrek.pods.written import as_written, record
from webhook.admission.known import Options

from ..pods.making import IMAGE, Pod, container, few, pod, pods
from . import kubernetes
from .worlds import OPTIONS, admitted, claim, known, learned, main, ready, reviewed

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
IN_IMAGE = {names.CHECKPOINT_IMAGE: "with-chrek:1"}
BOTH_IMAGES = learned(["entry"], ["cmd"], "a:1") | learned(["entry"], [], "b@sha256:0")


def init_of(found: Pod) -> dict[str, Any]:
    first: dict[str, Any] = found["spec"]["initContainers"][0]
    assert first["name"] == "chrek-init"
    return first


def test_the_whole_change_of_a_plain_pod() -> None:
    written = pod(volumes=[{"name": "data", "emptyDir": {}}])
    made = admitted(written)
    assert made["spec"]["volumes"] == [
        {"name": "data", "emptyDir": {}},
        {"name": "chrek", "emptyDir": {}},
        {"name": "chrek-claim", "persistentVolumeClaim": {"claimName": "chrek-checkpoints"}},
    ]
    assert init_of(made) == {
        "name": "chrek-init",
        "image": OPTIONS.init_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/chrek-init", "install", "/chrek"],
        "resources": {},
        "securityContext": {**RESTRICTED, "readOnlyRootFilesystem": True},
        "volumeMounts": [
            {"name": "chrek", "mountPath": "/chrek"},
            {"name": "chrek-claim", "mountPath": "/checkpoints", "readOnly": True},
        ],
    }
    assert main(made)["volumeMounts"] == [{"name": "chrek", "mountPath": "/chrek"}]
    assert made["metadata"]["labels"] == {"app": "server", "chrek.io/role": "source"}
    assert set(made["metadata"]["annotations"]) == {
        "chrek.io/checkpoint", "chrek.io/checkpoint-id", "chrek.io/identity", "chrek.io/as-written",
        names.SAFE_TO_EVICT,
    }  # fmt: skip


def test_the_claim_of_the_users_choice_is_mounted() -> None:
    made = admitted(pod(annotations={names.CLAIM: "big"}), known(claim("big")))
    assert made["spec"]["volumes"][1]["persistentVolumeClaim"] == {"claimName": "big"}


def test_with_a_checkpoint_image_nothing_is_copied_in() -> None:
    made = admitted(pod(annotations=IN_IMAGE))
    chosen = main(made)
    assert chosen["image"] == "with-chrek:1"
    assert chosen["command"][0] == "/opt/chrek/chrek-init"
    assert "initContainers" not in made["spec"]
    assert chosen["volumeMounts"] == [
        {"name": "chrek", "mountPath": "/chrek"},
        {"name": "chrek-claim", "mountPath": "/checkpoints", "readOnly": True},
    ]
    assert [volume["name"] for volume in made["spec"]["volumes"]] == ["chrek", "chrek-claim"]


@pytest.mark.parametrize("annotations", [{}, IN_IMAGE], ids=["injected", "in the image"])
def test_a_pod_that_pod_security_restricted_lets_in_is_still_let_in(
    annotations: dict[str, str],
) -> None:
    made = admitted(pod(container(securityContext=RESTRICTED), annotations=annotations))
    for one in [*made["spec"]["containers"], *made["spec"].get("initContainers", [])]:
        assert kubernetes.restricted(made, one) == []


@pytest.mark.parametrize(
    "of_pod",
    [{}, {"runAsUser": 0}, {"runAsUser": 0, "runAsNonRoot": False}, {"runAsUser": 1000},
     {"seccompProfile": {"type": "Unconfined"}}, {"fsGroup": 5}],
    ids=str,
)  # fmt: skip
def test_the_init_container_is_restricted_and_never_root_whatever_the_pod_is(
    of_pod: dict[str, Any],
) -> None:
    made = admitted(pod(container(securityContext={"privileged": True}), securityContext=of_pod))
    assert kubernetes.restricted(made, init_of(made)) == []
    user = init_of(made)["securityContext"].get("runAsUser")
    assert user == (65532 if of_pod.get("runAsUser") == 0 else None)
    assert main(made)["securityContext"] == {"privileged": True}
    assert made["spec"]["securityContext"] == of_pod


def test_the_init_container_has_cpu_and_memory_of_the_chosen_one_and_no_gpu() -> None:
    resources = {
        "requests": {"cpu": "1", "memory": "2", "ephemeral-storage": "3", "nvidia.com/gpu": "4"},
        "limits": {"cpu": "5", "memory": "6", "hugepages-2Mi": "7", "nvidia.com/gpu": "4"},
        "claims": [{"name": "gpu"}],
    }
    made = admitted(pod(container(resources=resources)))
    assert init_of(made)["resources"] == {
        "requests": {"cpu": "1", "memory": "2"},
        "limits": {"cpu": "5", "memory": "6"},
    }
    assert main(made)["resources"] == resources


@few
@given(pods())
def test_quality_of_service_and_what_quotas_count_stay(found: Pod) -> None:
    made = admitted(found, known(images=BOTH_IMAGES))
    assert kubernetes.quality(made) == kubernetes.quality(found)
    for name in ("cpu", "memory", "nvidia.com/gpu"):
        for kind in ("requests", "limits"):
            assert kubernetes.used(made, name, kind) == kubernetes.used(found, name, kind)


@few
@given(pods())
def test_all_else_that_the_user_wrote_stays(found: Pod) -> None:
    made = admitted(found, known(images=BOTH_IMAGES))
    theirs, ours = copy.deepcopy(found), copy.deepcopy(made)
    if "chrek.io/role" not in made["metadata"]["labels"]:
        assert made == found
        return
    for one in (theirs, ours):
        at = [c["name"] for c in found["spec"]["containers"]].index("main") if any(
            c["name"] == "main" for c in found["spec"]["containers"]
        ) else 0  # fmt: skip
        chosen = main(one, at)
        for member in ("command", "args", "volumeMounts"):
            chosen.pop(member, None)
        for member in ("volumes", "initContainers"):
            listed = one["spec"].pop(member, [])
            one[member] = [e for e in listed if not e["name"].startswith("chrek")]
        metadata = one["metadata"]
        metadata["labels"].pop("chrek.io/role", None)
        for key in ("checkpoint-id", "identity", "as-written"):
            metadata["annotations"].pop(f"chrek.io/{key}", None)
        metadata["annotations"].pop(names.SAFE_TO_EVICT, None)
    assert ours == theirs


@pytest.mark.parametrize(
    ("written", "admitted_as"), [(None, "chrek"), ("scratch,models", "scratch,models,chrek")]
)
def test_the_emptydir_of_chrek_does_not_keep_a_node_from_being_scaled_away(
    written: str | None, admitted_as: str
) -> None:
    annotations = {} if written is None else {names.SAFE_TO_EVICT: written}
    found = pod(annotations=annotations)
    made = admitted(found)
    assert made["metadata"]["annotations"][names.SAFE_TO_EVICT] == admitted_as
    kept = record(made)
    assert kept is not None
    assert as_written(made, kept) == found


PROFILE = Options(init_image="i", seccomp_profile="chrek/no-io-uring.json")
LOCALHOST = {"type": "Localhost", "localhostProfile": "chrek/no-io-uring.json"}


def test_the_operators_seccomp_profile_is_put_on_containers_that_name_none() -> None:
    made = main(admitted(pod(container(securityContext={"runAsUser": 5})), None, PROFILE))
    assert made["securityContext"] == {"runAsUser": 5, "seccompProfile": LOCALHOST}
    assert "securityContext" not in main(admitted(pod()))


@pytest.mark.parametrize(
    ("own", "of_pod", "annotations"),
    [
        ({"seccompProfile": {"type": "Unconfined"}}, {}, {}),
        ({"privileged": True}, {}, {}),
        ({}, {"seccompProfile": {"type": "RuntimeDefault"}}, {}),
        ({}, {}, {"seccomp.security.alpha.kubernetes.io/pod": "runtime/default"}),
        ({}, {}, {"container.seccomp.security.alpha.kubernetes.io/main": "runtime/default"}),
    ],
    ids=["own", "privileged", "the pod's", "by annotation", "by annotation of the container"],
)
def test_it_is_not_put_where_one_is_named(
    own: dict[str, Any], of_pod: dict[str, Any], annotations: dict[str, str]
) -> None:
    found = pod(container(securityContext=own), securityContext=of_pod, annotations=annotations)
    assert main(admitted(found, None, PROFILE))["securityContext"] == own


def test_it_does_not_change_the_identity() -> None:
    ids = {
        admitted(pod(), None, options)["metadata"]["annotations"][names.IDENTITY]
        for options in (OPTIONS, PROFILE)
    }
    assert len(ids) == 1


def test_the_record_holds_nothing_where_nothing_was_overwritten() -> None:
    made = admitted(pod())
    assert made["metadata"]["annotations"][names.AS_WRITTEN] == '{"container":"main","members":{}}'


def test_a_thousand_containers_are_admitted_with_one_changed() -> None:
    many = [container(name=f"c{n}", image=f"{IMAGE}{n}") for n in range(1000)]
    found = pod(*many, annotations={names.CONTAINER: "c777"})
    answer = reviewed(found, known(ready(found, at=777)))
    changed = [n for n, one in enumerate(answer.pod["spec"]["containers"]) if one is not many[n]]
    assert changed == [777]
