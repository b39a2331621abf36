"""A real containerd is asked, and asked again when it comes back."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from agent.runtime.cri.client import CRI, connected
from agent.runtime.cri.errors import (
    ContainerUnknownError,
    ImageUnknownError,
    RuntimeUnreachableError,
)
from agent.runtime.cri.model import ContainerID, MountPoint

from . import image
from .containerd import Containerd
from .kubelet import Kubelet, Pod


async def test_it_says_what_it_is(cri: CRI) -> None:
    assert (cri.version, cri.runtime_name) == ("v1", "containerd")
    assert cri.runtime_version


async def test_containers_of_a_pod_are_listed_through_their_life(
    kubelet: Kubelet, pod: Pod, cri: CRI
) -> None:
    main = kubelet.run_container(pod)
    second = kubelet.run_container(pod, "side", started=False)
    again = kubelet.run_container(pod, "side", attempt=1)
    kubelet.stop_container(again)
    found = {entry.id: entry for entry in await cri.containers()}
    assert set(found) == {main, second, again}  # and not the sandbox's own
    assert {entry.sandbox for entry in found.values()} == {pod.sandbox}
    assert {entry.pod_uid for entry in found.values()} == {pod.uid}
    entry = found[ContainerID(main)]
    assert (entry.namespace, entry.pod_name, entry.name) == ("shop", "web-0", "main")
    states = [
        (found[ContainerID(each)].state, found[ContainerID(each)].attempt)
        for each in (main, second, again)
    ]
    assert states == [("running", 0), ("created", 0), ("exited", 1)]


async def test_a_running_container_is_told_in_full(
    kubelet: Kubelet, pod: Pod, cri: CRI, tmp_path: Path
) -> None:
    identifier = ContainerID(
        kubelet.run_container(pod, mounts={"/tell": tmp_path}, environment={"COLOUR": "blue"})
    )
    status = await cri.status(identifier)
    assert status.container in await cri.containers()
    assert status.pid is not None
    # runc may still be on its way to the program.
    assert Path(f"/proc/{status.pid}/comm").read_text() in ("still\n", "runc:[2:INIT]\n")
    assert status.started_ns >= status.container.created_ns > 0
    assert status.image == image.NAME
    assert status.mounts == (MountPoint("/tell", str(tmp_path), read_only=True),)
    assert status.runtime_spec["process"]["args"] == [*image.ENTRYPOINT, *image.CMD]
    assert "COLOUR=blue" in status.runtime_spec["process"]["env"]


async def test_a_container_that_ended_says_how(
    kubelet: Kubelet, pod: Pod, cri: CRI, tmp_path: Path
) -> None:
    identifier = ContainerID(kubelet.run_container(pod, mounts={"/tell": tmp_path}))
    (tmp_path / "end").touch()
    while (status := await cri.status(identifier)).container.state == "running":
        await asyncio.sleep(0.02)
    assert (status.container.state, status.exit_code, status.pid) == ("exited", 3, None)


async def test_the_image_of_a_container_is_told(
    containerd: Containerd, kubelet: Kubelet, pod: Pod, cri: CRI
) -> None:
    status = await cri.status(ContainerID(kubelet.run_container(pod)))
    found = await cri.image(status.image_ref)
    assert found == await cri.image(image.NAME)
    assert found.digest == containerd.digest
    assert (list(found.entrypoint), list(found.cmd)) == (image.ENTRYPOINT, image.CMD)
    assert list(found.env) == image.ENV


@pytest.mark.parametrize("name", ["", "absent", "../../etc", "x" * 10_000])
async def test_what_it_does_not_know_is_an_error_of_its_own(cri: CRI, name: str) -> None:
    with pytest.raises(ContainerUnknownError, match="ContainerStatus"):
        await cri.status(ContainerID(name or "-"))
    with pytest.raises(ImageUnknownError):
        await cri.image(f"docker.io/chrek-test/absent-{name[:20].replace('/', '-')}a")


async def test_the_older_version_numbers_its_messages_alike(
    containerd: Containerd, kubelet: Kubelet, pod: Pod, cri: CRI, monkeypatch: pytest.MonkeyPatch
) -> None:
    identifier = ContainerID(kubelet.run_container(pod))
    monkeypatch.setattr("agent.runtime.cri.client._VERSIONS", ("v1alpha2",))
    try:
        async with connected(containerd.socket) as older:
            status = await older.status(identifier)
            assert older.version == "v1alpha2"
            assert status == await cri.status(identifier)
            assert await older.containers() == await cri.containers()
            assert await older.image(image.NAME) == await cri.image(image.NAME)
    except RuntimeUnreachableError:
        pytest.skip("this containerd speaks v1 only")


async def test_calls_wait_for_a_containerd_that_is_restarted(
    containerd: Containerd, kubelet: Kubelet, pod: Pod, cri: CRI
) -> None:
    identifier = ContainerID(kubelet.run_container(pod))
    before = await cri.status(identifier)
    containerd.stop()
    try:
        asked = [asyncio.create_task(cri.containers()), asyncio.create_task(cri.containers())]
        await asyncio.sleep(0.3)
        assert not any(each.done() for each in asked)
    finally:
        await asyncio.to_thread(containerd.start)
    assert [identifier in {each.id for each in await found} for found in asked] == [True, True]
    assert await cri.status(identifier) == before


async def test_a_containerd_that_stays_away_is_named(
    containerd: Containerd, cri: CRI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.runtime.cri.client.CALL_SECONDS", 0.5)
    containerd.stop()
    try:
        with pytest.raises(RuntimeUnreachableError) as raised:
            await cri.containers()
    finally:
        await asyncio.to_thread(containerd.start)
    for part in ("ListContainers", str(containerd.socket), "journalctl"):
        assert part in str(raised.value)
    assert raised.value.retry
    monkeypatch.undo()
    await cri.containers()


async def test_a_socket_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.sock").touch()
    with pytest.raises(RuntimeUnreachableError, match="--cri-socket") as raised:
        async with connected(tmp_path / "c.sock"):
            pass
    assert str(tmp_path / "c.sock") in str(raised.value)


_BOTH = """
import asyncio, sys
from pathlib import Path
from agent.runtime.cri.client import connected

async def main():
    async with connected(Path(sys.argv[1])) as cri:
        for _ in range(20):
            child = await asyncio.create_subprocess_exec("true")
            await asyncio.gather(child.wait(), *(cri.containers() for _ in range(5)))

asyncio.run(main())
"""


async def test_children_start_while_calls_are_under_way(containerd: Containerd) -> None:
    command = [sys.executable, "-c", _BOTH, str(containerd.socket)]
    root = Path(__file__).parents[2]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, cwd=root, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, b"")
