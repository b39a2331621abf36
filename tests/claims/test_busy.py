"""A claim that was used keeps no volume busy, however its use ended."""

import asyncio
import contextlib
import mmap
import os
import threading
from pathlib import Path

import pytest

from .conftest import Attach
from .nodes import Disk, Node


def descriptors() -> list[str]:
    return [entry.name for entry in Path("/proc/self/fd").iterdir()]


async def test_a_volume_is_free_after_its_claim_was_used(
    node: Node, attach: Attach, disk: Disk
) -> None:
    volume = node.mount(disk.device, "volume", "ext4")
    async with attach(str(volume), read_only=False) as claim:
        (claim / "file").write_bytes(os.urandom(100_000))
    assert not disk.is_free()
    node.unmount(volume)
    assert disk.becomes_free()


async def test_the_kubelet_unmounts_a_volume_while_its_claim_is_used(
    node: Node, attach: Attach, disk: Disk
) -> None:
    volume = node.mount(disk.device, "volume", "ext4")
    async with attach(str(volume), read_only=False) as claim:
        node.unmount(volume)
        (claim / "file").touch()
        assert not disk.is_free()
    assert disk.becomes_free()


async def test_a_volume_is_free_after_its_use_failed(
    node: Node, attach: Attach, disk: Disk
) -> None:
    volume = node.mount(disk.device, "volume", "ext4")

    async def use() -> None:
        async with attach(str(volume), read_only=False):
            node.unmount(volume)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await use()
    assert disk.becomes_free()


async def test_a_volume_is_free_after_its_use_was_cancelled(
    node: Node, attach: Attach, disk: Disk
) -> None:
    volume = node.mount(disk.device, "volume", "ext4")
    begun = asyncio.Event()

    async def use() -> None:
        async with attach(str(volume), read_only=False):
            node.unmount(volume)
            begun.set()
            await asyncio.sleep(3600)

    using = asyncio.create_task(use())
    await begun.wait()
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert disk.becomes_free()


async def test_work_that_was_given_up_cannot_keep_a_volume(
    node: Node, attach: Attach, disk: Disk
) -> None:
    """A thread goes on after its task was cancelled: nothing ends it but its own next call."""
    volume = node.mount(disk.device, "volume", "ext4")
    stop = threading.Event()
    failed: list[OSError] = []

    def work(claim: Path) -> None:
        try:
            with (claim / "file").open("wb", buffering=0) as file:
                while not stop.is_set():
                    file.write(b"on and on\n")
                    file.seek(0)
        except OSError as error:
            failed.append(error)

    async with attach(str(volume), read_only=False) as claim:
        node.unmount(volume)
        working = asyncio.create_task(asyncio.to_thread(work, claim))
        while not (claim / "file").exists():
            await asyncio.sleep(0)
        directory = os.open(claim, os.O_PATH)
    try:
        assert disk.becomes_free()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(working), 20)
    finally:
        stop.set()
        await working
    assert [error.strerror for error in failed] == ["Bad file descriptor"]
    with pytest.raises(OSError, match="Not a directory"):
        os.open("file", os.O_RDONLY | os.O_CREAT, dir_fd=directory)
    os.close(directory)


async def test_work_that_was_given_up_makes_no_files_elsewhere(node: Node, attach: Attach) -> None:
    volume = node.mount("tmpfs", "volume", "tmpfs")
    async with attach(str(volume), read_only=False) as claim:
        pass
    with pytest.raises(FileNotFoundError):
        (claim / "late").touch()


async def test_a_mapping_of_a_file_keeps_a_volume_only_as_long_as_it_lives(
    node: Node, attach: Attach, disk: Disk
) -> None:
    volume = node.mount(disk.device, "volume", "ext4")
    async with attach(str(volume), read_only=False) as claim:
        node.unmount(volume)
        with (claim / "file").open("w+b") as file:
            file.truncate(4096)
            mapped = mmap.mmap(file.fileno(), 4096)
    assert not claim.exists()
    mapped.close()
    assert disk.becomes_free()


async def test_other_files_of_the_agent_are_left_alone(
    node: Node, attach: Attach, tmp_path: Path
) -> None:
    volume = node.mount("tmpfs", "volume", "tmpfs")
    (tmp_path / "own").write_text("mine")
    with (tmp_path / "own").open() as own:
        async with attach(str(volume), read_only=False) as claim:
            used = (claim / "file").open("w")
        assert own.read() == "mine"
    with contextlib.suppress(OSError):
        used.close()


async def test_no_descriptor_is_left(node: Node, attach: Attach) -> None:
    volume = node.mount("tmpfs", "volume", "tmpfs")
    async with attach(str(volume), read_only=False):
        pass  # the first use makes what the event loop keeps
    before = descriptors()
    async with attach(str(volume), read_only=False):
        pass
    assert descriptors() == before
