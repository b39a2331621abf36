"""A PID that the runtime told is worked on only if it is the container's."""

import dataclasses
import os
import string
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.cri.client import CRI
from agent.runtime.cri.errors import CRIError
from agent.runtime.cri.model import Container, ContainerID, Status
from agent.runtime.cri.targets import name, target
from chrek.errors import TargetGoneError

from .kubelet import Kubelet, Pod


def status(pid: int | None, state: str = "running") -> Status:
    container = Container(
        id=ContainerID("c0ffee" * 10),
        sandbox="",
        pod_uid="u",
        pod_name="web-0",
        namespace="shop",
        name="main",
        attempt=0,
        state=state,  # type: ignore[arg-type]
        created_ns=0,
    )
    return Status(container, pid, 0, "web:1", "web:1")


async def test_a_running_container_is_a_target(kubelet: Kubelet, pod: Pod, cri: CRI) -> None:
    identifier = ContainerID(kubelet.run_container(pod))
    found = target(await cri.status(identifier))
    assert (found.name, found.container) == ("shop.web-0.main", identifier)
    assert found.alive()
    assert (found.root / "still").is_file()


async def test_a_container_that_ended_since_it_was_asked_for_is_gone(
    kubelet: Kubelet, pod: Pod, cri: CRI
) -> None:
    identifier = ContainerID(kubelet.run_container(pod))
    asked = await cri.status(identifier)
    found = target(asked)
    kubelet.stop_container(identifier)
    assert not found.alive()
    with pytest.raises(TargetGoneError, match=r"shop\.web-0\.main"):
        target(asked)
    with pytest.raises(TargetGoneError, match="exited"):
        target(await cri.status(identifier))


async def test_the_process_of_another_container_of_the_pod_is_refused(
    kubelet: Kubelet, pod: Pod, cri: CRI
) -> None:
    one = await cri.status(ContainerID(kubelet.run_container(pod)))
    other = await cri.status(ContainerID(kubelet.run_container(pod, "side")))
    with pytest.raises(TargetGoneError):
        target(dataclasses.replace(one, pid=other.pid))


def test_a_process_of_the_host_is_refused() -> None:
    for pid in (os.getpid(), 1):
        with pytest.raises(TargetGoneError):
            target(status(pid))


def test_a_process_that_has_ended_is_refused_also_before_it_is_reaped() -> None:
    ended = subprocess.Popen(["true"])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(TargetGoneError):
        target(status(ended.pid))
    ended.wait()
    with pytest.raises(TargetGoneError):
        target(status(ended.pid))


def test_a_runtime_that_tells_no_pid_cannot_be_worked_with() -> None:
    with pytest.raises(CRIError, match="PID"):
        target(status(None))


@pytest.mark.parametrize("state", ["created", "exited", "unknown"])
def test_a_container_that_does_not_run_is_no_target(state: str) -> None:
    with pytest.raises(TargetGoneError, match=state):
        target(status(None, state))


names = st.text(max_size=300)


@given(namespace=names, pod=names, container=names)
def test_any_name_becomes_one_that_a_file_may_have(
    namespace: str, pod: str, container: str
) -> None:
    base = status(None).container
    made = name(dataclasses.replace(base, namespace=namespace, pod_name=pod, name=container))
    assert set(made) <= set(string.ascii_lowercase + string.digits + "._-")
    assert 0 < len(made) <= 150
    assert made[0] != "."


def test_names_that_differ_only_where_they_are_cut_stay_apart() -> None:
    base = status(None).container
    made = {
        name(dataclasses.replace(base, pod_name="a" * 200 + end, name=part))
        for end in "bc"
        for part in ("main", "side")
    }
    assert len(made) == 4
