"""A checkpoint that is restored from is not removed, by whichever process."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.store.checkpoints import Checkpoints
from agent.store.use import in_use, removable
from chrek.errors import NotFoundError
from chrek.ids import CheckpointID

ID = CheckpointID("warm")
Publish = Callable[..., Path]

RESTORING = """
import asyncio, pathlib, sys
from agent.store.use import in_use

async def main():
    async with in_use(pathlib.Path(sys.argv[1])):
        print("restoring", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


@contextmanager
def restored_elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process restores from `path`; killed at last."""
    process = subprocess.Popen(
        [sys.executable, "-c", RESTORING, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "restoring\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def is_free(path: Path) -> bool:
    with removable(path) as found:
        return found


def test_what_nobody_restores_from_may_be_removed(published: Path) -> None:
    assert is_free(published)


def test_what_another_process_restores_from_may_not_until_that_ends(published: Path) -> None:
    with restored_elsewhere(published) as process:
        assert not is_free(published)
        os.kill(process.pid, signal.SIGKILL)  # not even its own doing is needed
        process.wait()
        assert is_free(published)


async def test_several_restore_from_one_checkpoint(published: Path) -> None:
    async with in_use(published):
        async with in_use(published):
            assert not is_free(published)
        assert not is_free(published)
    assert is_free(published)


async def test_what_is_being_removed_is_not_begun_to_be_restored(published: Path) -> None:
    with removable(published) as free:
        assert free
        with pytest.raises(NotFoundError, match="is being removed"):
            async with in_use(published):
                pass


async def test_what_is_gone_is_not_found(published: Path, store: Checkpoints) -> None:
    store.remove(ID)
    with pytest.raises(NotFoundError, match="no checkpoint at"):
        async with in_use(published):
            pass


async def test_who_is_given_up_while_taking_the_lock_holds_nothing(published: Path) -> None:
    async def hold() -> None:
        async with in_use(published):
            await asyncio.sleep(3600)

    for _ in range(20):
        task = asyncio.create_task(hold())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()
    await asyncio.sleep(0)
    assert is_free(published)


@pytest.mark.parametrize("planted", ["fifo", "directory", "link", "nothing"])
def test_what_a_tenant_puts_in_the_manifests_place_holds_nobody_up(
    published: Path, planted: str
) -> None:
    manifest = published / "manifest.json"
    manifest.rename(published / "elsewhere")
    if planted == "fifo":
        os.mkfifo(manifest)
    elif planted == "directory":
        manifest.mkdir()
    elif planted == "link":
        manifest.symlink_to("elsewhere")
    assert is_free(published)


def test_removing_by_hand_leaves_the_files_to_who_restores_from_them(
    store: Checkpoints, published: Path
) -> None:
    with restored_elsewhere(published):
        assert store.remove(ID) == 1
        assert not published.exists()
        [trash] = store.staging_path(ID).parent.iterdir()
        assert (trash / "files.tar.zst").exists()
        assert store.tidy(set()) == []
        assert trash.exists()
    assert store.tidy(set()) == [trash]
    assert not trash.parent.exists()


def test_replacing_leaves_the_files_to_who_restores_from_them(
    store: Checkpoints, publish: Publish, published: Path
) -> None:
    inode = (published / "files.tar.zst").stat().st_ino
    with restored_elsewhere(published):
        publish(replace=True)
        [trash] = published.parent.glob(".trash-*")
        assert (trash / "files.tar.zst").stat().st_ino == inode
    store.tidy_id(ID)
    assert list(published.parent.iterdir()) == [published]
