"""What runtimes tell beside the interface is used where it fits, and never believed blindly."""

import json
from typing import Any

import pytest

from agent.runtime.cri import cri_pb2, reading
from agent.runtime.cri.errors import CRIError
from agent.runtime.cri.model import ImageConfig

HASH = "0123456789abcdef" * 4
LABELS = {
    "io.kubernetes.pod.uid": "5e6f",
    "io.kubernetes.pod.name": "web-0",
    "io.kubernetes.pod.namespace": "shop",
    "io.kubernetes.container.name": "main",
}
SPEC = {"ociVersion": "1.0.2", "process": {"env": ["A=b"]}}
# What each runtime says beside the interface, cut to what differs.
CONTAINERD = {
    "sandboxID": "5a4d",
    "pid": 4242,
    "removing": False,
    "snapshotKey": "c0ffee",
    "runtimeType": "io.containerd.runc.v2",
    "config": {"metadata": {"name": "main"}, "image": {"image": f"sha256:{HASH}"}},
    "runtimeSpec": SPEC,
}
CRIO = {"sandboxID": "5a4d", "pid": 4242, "runtimeSpec": SPEC, "privileged": False}
IMAGE = {
    "architecture": "amd64",
    "config": {"Entrypoint": ["/bin/serve"], "Cmd": ["--warm"], "Env": ["PATH=/bin", "EMPTY="]},
}


def answer(info: dict[str, str], **changed: Any) -> cri_pb2.ContainerStatusResponse:
    status = {
        "id": "c0ffee",
        "metadata": {"name": "main", "attempt": 2},
        "state": cri_pb2.CONTAINER_RUNNING,
        "created_at": 5,
        "started_at": 6,
        "image": {"image": "docker.io/library/web:1"},
        "image_ref": f"docker.io/library/web@sha256:{HASH}",
        "labels": LABELS,
        "mounts": [{"container_path": "/data", "host_path": "/var/lib/x", "readonly": True}],
    }
    return cri_pb2.ContainerStatusResponse(status=status | changed, info=info)


def told(info: object) -> dict[str, str]:
    return {"info": json.dumps(info)}


@pytest.mark.parametrize("info", [CONTAINERD, CRIO], ids=["containerd", "CRI-O"])
def test_a_running_container_is_read_in_full(info: dict[str, object]) -> None:
    status = reading.status(answer(told(info)))
    container = status.container
    assert (container.id, container.sandbox, container.attempt) == ("c0ffee", "5a4d", 2)
    assert (container.namespace, container.pod_name, container.name) == ("shop", "web-0", "main")
    assert (container.pod_uid, container.state, container.created_ns) == ("5e6f", "running", 5)
    assert (status.pid, status.started_ns, status.exit_code) == (4242, 6, 0)
    assert status.image == "docker.io/library/web:1"
    assert status.image_ref == f"docker.io/library/web@sha256:{HASH}"
    assert [(m.container_path, m.host_path, m.read_only) for m in status.mounts] == [
        ("/data", "/var/lib/x", True)
    ]
    assert status.runtime_spec == SPEC


def test_the_image_is_named_as_its_pod_names_it_where_the_runtime_knows() -> None:
    image = {"image": f"sha256:{HASH}", "user_specified_image": "web:latest"}
    assert reading.status(answer({}, image=image)).image == "web:latest"


@pytest.mark.parametrize("state", ["CREATED", "EXITED", "UNKNOWN"])
def test_a_container_that_does_not_run_has_no_pid(state: str) -> None:
    number = cri_pb2.ContainerState.Value(f"CONTAINER_{state}")
    status = reading.status(answer(told(CONTAINERD), state=number))
    assert status.pid is None
    assert status.container.state == state.lower()


def test_a_state_of_a_later_interface_is_unknown() -> None:
    assert reading.status(answer({}, state=77)).container.state == "unknown"


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"other": "{}"},
        {"info": ""},
        told([]),
        told(None),
        told({}),
        told({"pid": 0}),
        told({"pid": -1}),
        told({"pid": 10**30}),
        told({"pid": True}),
        told({"pid": "4242"}),
        told({"pid": 42.5}),
        told({"pid": None, "runtimeSpec": None, "sandboxID": None}),
        told({"runtimeSpec": [], "sandboxID": 7}),
    ],
)
def test_what_a_runtime_does_not_tell_is_left_open(info: dict[str, str]) -> None:
    status = reading.status(answer(info))
    assert status.pid is None
    assert status.runtime_spec == {}
    assert status.container.sandbox == ""


@pytest.mark.parametrize("text", ["{", "\ud7ff", "[" * 200_000, '{"pid": 1' + "0" * 5000 + "}"])
def test_json_that_is_none_is_an_error_that_names_the_container(text: str) -> None:
    with pytest.raises(CRIError, match="c0ffee") as raised:
        reading.status(answer({"info": text}))
    assert len(str(raised.value)) < 500


def test_a_container_without_an_id_is_an_error() -> None:
    with pytest.raises(CRIError, match="no id"):
        reading.status(answer(told(CONTAINERD), id=""))


def test_containers_that_belong_to_no_pod_are_passed_over() -> None:
    ours = cri_pb2.Container(id="a", pod_sandbox_id="b", labels=LABELS)
    other = cri_pb2.Container(id="c", labels={"made": "by hand"})
    assert [found.id for found in reading.containers([other, ours])] == ["a"]


@pytest.mark.parametrize("name", [f"sha256:{HASH}", HASH], ids=["containerd", "CRI-O"])
@pytest.mark.parametrize(
    "info",
    [{"chainID": "sha256:1", "imageSpec": IMAGE}, {"labels": {}, "imageSpec": IMAGE}],
    ids=["containerd", "CRI-O"],
)
def test_an_image_is_read(name: str, info: dict[str, object]) -> None:
    found = reading.image(
        cri_pb2.ImageStatusResponse(
            image=cri_pb2.Image(id=name, repo_digests=["web@sha256:" + "f" * 64]), info=told(info)
        )
    )
    assert found == ImageConfig(
        f"sha256:{HASH}", ("/bin/serve",), ("--warm",), ("PATH=/bin", "EMPTY=")
    )


def test_an_image_without_an_id_that_is_a_digest_goes_by_that_of_its_repository() -> None:
    image = cri_pb2.Image(id="web", repo_digests=["b@sha256:" + "f" * 64, f"a@sha256:{HASH}"])
    found = reading.image(cri_pb2.ImageStatusResponse(image=image))
    assert found.digest == f"sha256:{HASH}"


def test_an_image_without_any_digest_is_an_error() -> None:
    with pytest.raises(CRIError, match="no digest"):
        reading.image(cri_pb2.ImageStatusResponse(image=cri_pb2.Image(id="x" * 1000)))


@pytest.mark.parametrize("config", [None, [], {}, {"Entrypoint": "sh", "Cmd": [1], "Env": {}}])
def test_an_image_that_says_nothing_runs_nothing(config: object) -> None:
    image = cri_pb2.Image(id=HASH)
    info = told({"imageSpec": {"config": config}})
    found = reading.image(cri_pb2.ImageStatusResponse(image=image, info=info))
    assert found == ImageConfig(f"sha256:{HASH}")
