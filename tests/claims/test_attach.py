"""A volume of a pod is reached on the host, under rules that it cannot change."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.claims import host
from agent.claims.attach import tidy
from agent.kernel import calls, mounts
from chrek.errors import ClaimUnreachableError

from .conftest import Attach
from .nodes import REPOSITORY, Node


async def test_what_is_written_to_a_claim_is_in_the_volume(node: Node, attach: Attach) -> None:
    volume = node.mount("tmpfs", "volume", "tmpfs")
    (node.inside(volume) / "there").write_text("before")
    async with attach(str(volume), read_only=False) as claim:
        assert (claim / "there").read_text() == "before"
        (claim / "new").write_text("after")
    assert (node.inside(volume) / "new").read_text() == "after"


async def test_a_claim_is_private_and_its_files_are_only_files(node: Node, attach: Attach) -> None:
    node.do('calls.mount("none", "/", "", 0x104000, "")')  # shared, as on every node
    volume = node.mount("tmpfs", "volume", "tmpfs")
    async with attach(str(volume), read_only=True) as claim:
        line = next(
            line
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if f" {claim} " in line
        )
        found = mounts.parse(line)
        assert {"ro", "nosuid", "nodev", "noexec", "nosymfollow"} <= found.options
        assert "shared:" not in line
        assert "master:" not in line


async def test_nothing_is_written_to_a_claim_that_is_attached_read_only(
    node: Node, attach: Attach
) -> None:
    volume = node.mount("tmpfs", "volume", "tmpfs")
    async with attach(str(volume), read_only=True) as claim:
        with pytest.raises(OSError, match="Read-only"):
            (claim / "new").touch()


async def test_what_is_mounted_in_a_volume_is_no_part_of_the_claim(
    node: Node, attach: Attach
) -> None:
    volume = node.mount("tmpfs", "volume", "tmpfs")
    node.mount("tmpfs", "volume/before", "tmpfs")
    (node.inside(volume) / "before/secret").touch()
    async with attach(str(volume), read_only=True) as claim:
        node.mount("tmpfs", "volume/after", "tmpfs")
        (node.inside(volume) / "after/secret").touch()
        assert not list((claim / "before").iterdir())
        assert not list((claim / "after").iterdir())


async def test_links_on_the_way_to_a_volume_are_followed_on_the_host(
    node: Node, attach: Attach
) -> None:
    volume = node.mount("tmpfs", "volume", "tmpfs")
    (node.inside(volume) / "sub").mkdir()
    (node.inside(volume) / "sub/file").touch()
    (node.home / "link").symlink_to(volume)  # an absolute one: in the host's root, not in ours
    async with attach(f"{node.home}/link/sub", read_only=True) as claim:
        assert [entry.name for entry in claim.iterdir()] == ["file"]


@pytest.mark.parametrize("target", ["/etc", "..", "../..", "there", "/proc/self/root", "."])
async def test_no_link_of_a_volume_is_followed(node: Node, attach: Attach, target: str) -> None:
    volume = node.mount("tmpfs", "volume", "tmpfs")
    (node.inside(volume) / "there").mkdir()
    (node.inside(volume) / "link").symlink_to(target)
    (node.inside(volume) / "file").symlink_to("/etc/hostname")
    async with attach(str(volume), read_only=False) as claim:
        for use in (
            lambda: list((claim / "link").iterdir()),
            (claim / "link/new").touch,
            (claim / "link/new").mkdir,
            (claim / "file").read_text,
            lambda: (claim / "file").write_text(""),
            lambda: (claim / "there").rename(claim / "link/there"),
        ):
            with pytest.raises(OSError, match="symbolic links"):
                use()
    assert not list((node.inside(volume) / "there").iterdir())


async def test_a_device_in_a_volume_cannot_be_opened(node: Node, attach: Attach) -> None:
    volume = node.mount("tmpfs", "volume", "tmpfs")
    os.mknod(node.inside(volume) / "null", 0o20666, os.makedev(1, 3))
    async with attach(str(volume), read_only=False) as claim:
        with pytest.raises(PermissionError):
            (claim / "null").write_text("")


@pytest.mark.parametrize("name", ["absent", "file", "dangling", "x" * 300, "a\nb", "a\0b"])
async def test_what_is_no_directory_of_the_host_is_refused(
    node: Node, attach: Attach, name: str
) -> None:
    (node.home / "file").touch()
    (node.home / "dangling").symlink_to("nowhere")
    with pytest.raises(ClaimUnreachableError) as raised:
        async with attach(f"{node.home}/{name}", read_only=True):
            pass
    assert "node" in str(raised.value)
    assert raised.value.retry


@pytest.mark.parametrize("name", ["with space", "fürs Modell", "new\nline", "--read-only"])
async def test_a_volume_may_have_any_name(node: Node, attach: Attach, name: str) -> None:
    (node.home / name).mkdir()
    (node.home / name / "file").touch()
    async with attach(f"{node.home}/{name}", read_only=True) as claim:
        assert (claim / "file").exists()


async def test_a_node_that_is_gone_is_told(node: Node, attach: Attach) -> None:
    node.process.kill()
    node.process.wait()
    with pytest.raises(ClaimUnreachableError):
        async with attach("/", read_only=True):
            pass


async def test_a_volume_that_does_not_answer_is_given_up(
    node: Node, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A FUSE file system whose server is silent, as a network volume's may be."""
    if not Path("/dev/fuse").exists():
        pytest.skip("needs FUSE")
    monkeypatch.setattr(host, "_ANSWER_SECONDS", 0.5)
    node.do('fuse = os.open("/dev/fuse", os.O_RDWR)')
    node.do(f'os.mkdir("{node.home}/silent")')
    options = "fd={fuse},rootmode=40000,user_id=0,group_id=0"
    node.do(f'calls.mount("silent", "{node.home}/silent", "fuse", 0, f"{options}")')
    with pytest.raises(ClaimUnreachableError, match="does not answer"):
        async with attach(f"{node.home}/silent/volume", read_only=True):
            pass


async def test_claims_are_attached_side_by_side(node: Node, attach: Attach) -> None:
    volume = node.mount("tmpfs", "volume", "tmpfs")

    async def write(name: str) -> None:
        async with attach(str(volume), read_only=False) as claim:
            (claim / name).touch()

    await asyncio.gather(*(write(str(number)) for number in range(8)))
    assert len(list(node.inside(volume).iterdir())) == 8


def test_what_a_killed_agent_left_is_detached(below: Path) -> None:
    place = below / "left"
    place.mkdir(parents=True)
    for _ in range(2):
        calls.mount("tmpfs", str(place), "tmpfs", 0, "")
    tidy(below)
    tidy(below)


_AGENT = """
import asyncio, sys
from pathlib import Path
from agent.claims.attach import attached

async def main():
    assert not (Path(sys.argv[1]) / "file").exists()  # of the host, not of the agent
    async with attached(sys.argv[1], read_only=True, below=Path(sys.argv[2])) as claim:
        print(*(entry.name for entry in claim.iterdir()))

asyncio.run(main())
"""


def test_the_host_is_what_the_first_process_of_the_agents_pid_namespace_sees(
    tmp_path: Path, below: Path
) -> None:
    """With hostPID that is the node's; here it is a shell's, that the agent has unmounted from."""
    volume = tmp_path / "volume"
    volume.mkdir()
    inner = 'umount "$1"; shift; exec "$@"'
    shell = f"mount -t tmpfs volume $1; touch $1/file; unshare --mount sh -c '{inner}' agent \"$@\""
    agent = [sys.executable, "-c", _AGENT, str(volume), str(below)]
    command = ["unshare", "--pid", "--mount", "--fork", "--mount-proc"]
    command += ["sh", "-c", f"{shell}; exit $?", "host", str(volume), *agent]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert (done.stdout, done.stderr) == ("file\n", "")
