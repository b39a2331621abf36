"""What chrek cannot handle is admitted as it was written, with a sentence that says why."""

from typing import Any

import pytest

from chrek.pods import names
from webhook.admission.known import Checkpoint, Claim, Options

from ..pods.making import IMAGE, container, pod
from .worlds import CLAIM, OPTIONS, admitted, claim, known, learned, refused, reviewed

LABEL = "a" * 63
SUBDOMAIN = ".".join(["a" * 50] * 4)


def test_a_terminal_is_refused() -> None:
    assert refused(pod(container(tty=True, stdin=True))) == [
        "container main has tty: true, and terminals cannot be checkpointed"
    ]


def test_standard_input_without_a_terminal_is_not() -> None:
    assert reviewed(pod(container(stdin=True, stdinOnce=True))).warnings == ()


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"hostPID": True}, "hostPID gives the container no PID namespace of its own"),
        (
            {"shareProcessNamespace": True},
            "shareProcessNamespace leaves PID 1 to the pod's sandbox",
        ),
        ({"hostUsers": False}, "hostUsers: false (a user namespace) is not supported"),
        ({"os": {"name": "windows"}}, "only Linux pods can be checkpointed"),
        (
            {"nodeSelector": {"kubernetes.io/os": "windows"}},
            "only Linux pods can be checkpointed",
        ),
        (
            {"runtimeClassName": "gvisor"},
            "runtimeClassName 'gvisor' is a sandbox that cannot be looked into",
        ),
        (
            {"runtimeClassName": "kata-qemu"},
            "runtimeClassName 'kata-qemu' is a sandbox that cannot be looked into",
        ),
        (
            {"volumes": [{"name": "chrek", "emptyDir": {}}]},
            "it has a volume named chrek, which is chrek's own name: rename it",
        ),
        (
            {"volumes": [{"name": "chrek-claim", "emptyDir": {}}]},
            "it has a volume named chrek-claim, which is chrek's own name: rename it",
        ),
        (
            {"initContainers": [{"name": "chrek-init", "image": "x"}]},
            "it has a container named chrek-init, which is chrek's own name: rename it",
        ),
    ],
    ids=str,
)
def test_a_kind_of_pod_is_refused(spec: dict[str, Any], sentence: str) -> None:
    assert refused(pod(**spec)) == [sentence]


@pytest.mark.parametrize(
    "spec",
    [
        {"hostPID": False, "shareProcessNamespace": False, "hostUsers": True},
        {"os": {"name": "linux"}, "nodeSelector": {"kubernetes.io/os": "linux"}},
        {"runtimeClassName": "nvidia"},
        {"hostNetwork": True, "hostIPC": True},
        {"volumes": [{"name": "chrek-models", "emptyDir": {}}]},
    ],
    ids=str,
)
def test_its_harmless_relative_is_taken_on(spec: dict[str, Any]) -> None:
    assert reviewed(pod(**spec)).warnings == ()


def test_the_operator_names_the_sandboxes() -> None:
    options = Options(init_image="i", sandboxed=("enclave-*",))
    assert (
        "'enclave-1' is a sandbox" in refused(pod(runtimeClassName="enclave-1"), None, options)[0]
    )
    assert reviewed(pod(runtimeClassName="gvisor"), None, options).warnings == ()


def test_a_pod_that_mirrors_a_static_one_is_refused() -> None:
    assert refused(pod(annotations={"kubernetes.io/config.mirror": "x"})) == [
        "it mirrors a static pod, which its node runs as the node's own file says"
    ]


def test_a_post_start_hook_is_refused_and_a_pre_stop_hook_is_not() -> None:
    hook = {"exec": {"command": ["true"]}}
    assert refused(pod(container(lifecycle={"postStart": hook}))) == [
        "container main has lifecycle.postStart, which would run before the restore"
    ]
    assert reviewed(pod(container(lifecycle={"preStop": hook}))).warnings == ()


@pytest.mark.parametrize("program", ["/sbin/init", "/lib/systemd/systemd", "runit", "/init"])
def test_an_init_system_is_refused_by_command_and_by_entrypoint(program: str) -> None:
    sentence = f"container main runs '{program}', which must be PID 1 itself"
    assert refused(pod(container(command=[program]))) == [sentence]
    bare = container(command=None)
    assert refused(pod(bare), known(images=learned([program], []))) == [sentence]
    assert refused(pod(bare), known(images=learned([], [program]))) == [sentence]
    given = container(command=None, args=[program])
    assert refused(pod(given), known(images=learned([], ["x"]))) == [sentence]


@pytest.mark.parametrize("program", ["tini", "/usr/bin/dumb-init", "/docker-entrypoint.sh"])
def test_an_init_that_minds_no_parent_is_taken_on(program: str) -> None:
    assert reviewed(pod(container(command=[program, "--", "server"]))).warnings == ()


@pytest.mark.parametrize(
    "path", ["/chrek", "/chrek/", "/chrek/x", "//chrek", "chrek", "/a/../chrek", "/", "/./chrek"]
)
@pytest.mark.parametrize(
    ("member", "key"), [("volumeMounts", "mountPath"), ("volumeDevices", "devicePath")]
)
def test_a_mount_in_the_way_is_refused(path: str, member: str, key: str) -> None:
    found = pod(container(**{member: [{"name": "x", key: path}]}))
    (sentence,) = refused(found)
    assert sentence.startswith("container main mounts something at '/")
    assert sentence.endswith("which is chrek's")


@pytest.mark.parametrize("path", ["/chrek-models", "/srv/chrek", "/checkpoints", "/opt"])
def test_a_mount_beside_it_is_not(path: str) -> None:
    mounts = [{"name": "x", "mountPath": path}]
    assert reviewed(pod(container(volumeMounts=mounts))).warnings == ()


@pytest.mark.parametrize(
    "path", ["/checkpoints", "/checkpoints/mine", "/opt/chrek", "/opt", "/opt/chrek/chrek-init"]
)
def test_with_a_checkpoint_image_more_is_in_the_way(path: str) -> None:
    mounts = [{"name": "x", "mountPath": path}]
    annotations = {names.CHECKPOINT_IMAGE: "with-chrek:1"}
    (sentence,) = refused(pod(container(volumeMounts=mounts), annotations=annotations))
    assert sentence == f"container main mounts something at '{path}', which is chrek's"


def test_a_command_that_runs_chrek_init_by_itself_is_refused() -> None:
    command = ["/chrek/chrek-init", "wait", "--timeout", "9", "--", "server"]
    assert refused(pod(container(command=command))) == [
        "container main runs chrek-init by itself: remove it from the command"
    ]


def test_a_claim_that_is_missing_is_refused_and_asked_for() -> None:
    found, world = pod(), known(claim("other"))
    assert refused(found, world) == [
        f"there is no PersistentVolumeClaim {CLAIM} in namespace ml: create it, or name another "
        "with chrek.io/claim"
    ]
    missing = reviewed(found, world).missing
    assert missing is not None
    assert (missing.what, missing.name) == ("claim", CLAIM)


SHOWN = f"kubectl describe pvc {CLAIM}"
ELSEWHERE = "not ReadWriteMany: pods on other nodes would hang"


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (claim(terminating=True), "is being deleted"),
        (claim(phase="Pending"), f"is Pending: {SHOWN}"),
        (claim(phase=""), f"is not bound: {SHOWN}"),
        (claim(phase="Lost"), f"is Lost: {SHOWN}"),
        (claim(phase="Pending", storage_class="at-once"), f"is Pending: {SHOWN}"),
        (claim(phase="Lost", storage_class="late"), f"is Lost: {SHOWN}"),
        (claim(mode="ReadWriteOncePod"), "is ReadWriteOncePod: a second pod would hang"),
        (claim(mode="ReadWriteOnce"), f"is ReadWriteOnce, {ELSEWHERE}"),
        (claim(mode="ReadOnlyMany"), f"is ReadOnlyMany, {ELSEWHERE}"),
        (claim(mode=""), f"is of no access mode, {ELSEWHERE}"),
        (claim(block=True), "is a block device (volumeMode Block), not a file system"),
    ],
    ids=lambda value: value.split(":")[0] if isinstance(value, str) else "",
)
def test_a_claim_that_would_have_the_pod_hang_is_refused(found: Claim, problem: str) -> None:
    world = known(found, late_binding=frozenset({"late"}))
    assert refused(pod(), world) == [f"PersistentVolumeClaim {CLAIM} {problem}"]
    assert reviewed(pod(), world).missing is None, "it is known, and need not be asked for"


def test_a_claim_that_waits_for_its_first_pod_is_taken() -> None:
    waiting = claim(phase="Pending", storage_class="late")
    assert reviewed(pod(), known(waiting, late_binding=frozenset({"late"}))).warnings == ()


def test_read_write_once_is_taken_where_the_operator_says_so() -> None:
    options = Options(init_image="i", allow_read_write_once=True)
    assert reviewed(pod(), known(claim(mode="ReadWriteOnce")), options).warnings == ()
    for mode in ("ReadWriteOncePod", "ReadOnlyMany"):
        assert len(refused(pod(), known(claim(mode=mode)), options)) == 1


def test_a_claim_of_the_users_choice_is_looked_at_instead() -> None:
    found = pod(annotations={names.CLAIM: "big"})
    assert "no PersistentVolumeClaim big " in refused(found)[0]
    assert reviewed(found, known(claim("big"))).warnings == ()


def test_an_image_whose_command_nobody_knows_is_refused_and_asked_for() -> None:
    found = pod(container(command=None, args=["x"]))
    assert refused(found) == [
        f"container main has no command, and what image '{IMAGE}' runs is not known: write the "
        "command in the pod template"
    ]
    missing = reviewed(found).missing
    assert missing is not None
    assert (missing.what, missing.name) == ("image", IMAGE)


def test_an_image_without_any_command_is_refused() -> None:
    found = pod(container(command=None))
    assert refused(found, known(images=learned([], []))) == [
        "neither container main nor its image names a command"
    ]


def test_a_name_that_another_pod_owns_is_refused() -> None:
    found = pod(annotations={names.CHECKPOINT: LABEL})
    taken = Checkpoint(LABEL, usable=True, identity="0" * 16)
    (sentence,) = refused(found, known(taken))
    assert sentence.startswith(f"checkpoint {LABEL} was made from a pod with another image")
    assert "delete" in sentence


def test_an_annotation_without_sense_is_refused() -> None:
    assert refused(pod(annotations={names.CLAIM: "NO"})) == [
        "chrek.io/claim is 'NO', not the name of a PersistentVolumeClaim"
    ]


def test_all_reasons_are_given_at_once() -> None:
    hook = {"postStart": {"exec": {"command": ["true"]}}}
    found = pod(container(tty=True, lifecycle=hook, command=["/sbin/init"]), hostPID=True)
    assert len(refused(found)) == 4


def test_the_longest_names_still_fit_into_a_warning() -> None:
    long = {names.CLAIM: SUBDOMAIN, names.CONTAINER: LABEL}
    image = "r/" + "i" * 500
    hook = {"postStart": {"exec": {"command": ["true"]}}}
    mounts = [{"name": "x", "mountPath": "/chrek/" + "m" * 200}]
    chosen = container(
        name=LABEL, image=image, tty=True, lifecycle=hook, command=["/" * 300 + "init"],
        volumeMounts=mounts,
    )  # fmt: skip
    assert len(refused(pod(chosen, annotations=long))) == 4
    assert refused(pod(container(name=LABEL), annotations=long))
    assert refused(pod(container(name=LABEL), annotations=long), known(claim(SUBDOMAIN, "Lost")))
    assert refused(pod(container(name=LABEL, image=image, command=None)))


def test_a_pod_whose_annotations_leave_no_room_is_left_as_it_is() -> None:
    full = (256 << 10) - len("chrek.io/checkpointautox")
    assert refused(pod(annotations={"x": "a" * full})) == [
        "its annotations leave no room for chrek's"
    ]
    assert reviewed(pod(annotations={"x": "a" * (full - 1000)}), None, OPTIONS).warnings == ()


def test_a_pod_without_the_annotation_is_none_of_ours() -> None:
    found = pod(container(tty=True), hostPID=True)
    del found["metadata"]["annotations"]["chrek.io/checkpoint"]
    answer = reviewed(found)
    assert answer.pod is found
    assert answer.warnings == ()


def test_a_command_that_another_replaced_is_named_as_what_it_is() -> None:
    made = admitted(pod())
    made["spec"]["containers"][0]["command"] = ["vault-env", "python3"]
    assert any(
        "replaced the command that chrek had wrapped" in sentence for sentence in refused(made)
    )


def test_a_misspelt_annotation_is_told_where_nothing_else_asks_for_chrek() -> None:
    misspelt = pod()
    misspelt["metadata"]["annotations"] = {"chrek.io/checkpiont": "auto"}
    answer = reviewed(misspelt)
    assert answer.pod is misspelt
    assert answer.warnings == (
        "chrek: annotation 'chrek.io/checkpiont' is unknown; did you mean chrek.io/checkpoint?",
    )
