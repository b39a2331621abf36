"""What is removed is what was meant; a killed remover leaves garbage that the next one finds."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.store import removal
from agent.store.checkpoints import Checkpoints
from agent.store.use import in_use
from chrek.errors import UsageError

NEWER = "f" * 16
Publish = Callable[..., Path]


async def remove(claim: Path, identifier: str = "warm", only: set[str] | None = None) -> Path:
    found = removal.look(claim, "default", identifier)
    hidden = removal.conceal(found if only is None else found.only(only))
    await removal.erase(hidden.trash)
    removal.close(found)
    return found.home


@pytest.fixture
def claim(store: Checkpoints, tmp_path: Path) -> Path:
    return tmp_path / "claim"


async def test_all_of_an_id_is_removed_and_its_directory(
    claim: Path, publish: Publish, store: Checkpoints
) -> None:
    home = publish().parent
    publish(variant=NEWER)
    for left in (".trash-0", ".staging-0"):
        (home / left / "criu").mkdir(parents=True)
    other = claim / "default" / "other" / NEWER
    other.mkdir(parents=True)
    await remove(claim)
    assert not home.exists()
    assert other.exists()


async def test_removing_twice_is_removing(claim: Path, published: Path) -> None:
    await remove(claim)
    await remove(claim)
    assert not published.parent.exists()


async def test_some_variants_are_removed_and_captures_under_way_go_on(
    claim: Path, publish: Publish, published: Path
) -> None:
    newer = publish(variant=NEWER)
    capture = published.parent / ".staging-0"
    capture.mkdir()
    await remove(claim, only={published.name})
    assert sorted(newer.parent.iterdir()) == [capture, newer]


async def test_what_is_restored_from_stays_and_is_named(claim: Path, published: Path) -> None:
    async with in_use(published):
        hidden = removal.conceal(removal.look(claim, "default", "warm"))
        assert hidden == removal.Hidden((), (published.name,))
    assert published.exists()


async def test_another_checkpoint_that_came_under_the_name_stays(
    claim: Path, publish: Publish, published: Path
) -> None:
    found = removal.look(claim, "default", "warm")
    await remove(claim)
    again = publish()
    assert removal.conceal(found) == removal.Hidden((), ())
    assert again.exists()


async def test_what_was_hidden_before_a_kill_is_erased_by_the_next(
    claim: Path, published: Path
) -> None:
    removal.conceal(removal.look(claim, "default", "warm"))
    [trash] = published.parent.iterdir()
    assert trash.name.startswith(".trash-")
    await remove(claim)
    assert not published.parent.exists()


async def test_erasing_ends_when_it_is_cancelled_and_can_be_gone_on_with(
    claim: Path, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rm, began = tmp_path / "rm", tmp_path / "began"
    rm.write_text(f"#!/bin/sh\n: > {began}\nexec sleep 3600\n")
    rm.chmod(0o755)
    [trash] = removal.conceal(removal.look(claim, "default", "warm")).trash
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(tmp_path), prepend=":")
        erasing = asyncio.create_task(removal.erase([trash]))
        while not began.exists():
            await asyncio.sleep(0.01)
        erasing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await erasing
    assert trash.exists()
    await remove(claim)
    assert not trash.parent.exists()


async def test_a_directory_of_any_depth_is_erased(claim: Path, published: Path) -> None:
    descriptor = os.open(published, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=descriptor)
        deeper = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = deeper
    os.close(descriptor)
    await remove(claim)
    assert not published.parent.exists()


async def test_what_chrek_did_not_make_stays(claim: Path, published: Path) -> None:
    theirs = [published.parent / name for name in ("notes.txt", ".trash-file", "a" * 15)]
    for path in theirs:
        path.write_text("mine")
    assert await remove(claim) == published.parent
    assert sorted(published.parent.iterdir()) == sorted(theirs)


@pytest.mark.parametrize("planted", ["file", "nothing"])
async def test_an_id_without_a_directory_has_nothing_to_remove(
    claim: Path, published: Path, tmp_path: Path, planted: str
) -> None:
    published.parent.rename(tmp_path / "moved")
    if planted == "file":
        published.parent.write_text("x")
    assert removal.look(claim, "default", "warm") == removal.Found(published.parent)
    await remove(claim)


async def test_links_among_the_variants_are_not_followed(
    claim: Path, published: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    (victim / "criu").mkdir(parents=True)
    for name in (NEWER, ".trash-0", ".staging-0"):
        (published.parent / name).symlink_to(victim)
    (published / "link").symlink_to(victim)
    await remove(claim)
    assert not published.exists()
    assert (victim / "criu").exists()


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "UPPER"])
def test_names_that_are_no_labels_lead_nowhere(claim: Path, name: str) -> None:
    with pytest.raises(UsageError):
        removal.look(claim, "default", name)
    with pytest.raises(UsageError):
        removal.look(claim, name, "warm")


async def test_a_flood_of_directories_is_removed_in_portions(claim: Path, published: Path) -> None:
    for number in range(1500):
        (published.parent / f".trash-{number}").mkdir()
    found = removal.look(claim, "default", "warm")
    assert found.more
    assert len(found.left) + len(found.variants) <= 1001
    looks = 0
    while published.parent.exists():
        await remove(claim)
        looks += 1
    assert looks == 2


def test_data_that_no_checkpoint_tells_of_is_named(claim: Path, published: Path) -> None:
    (claim / "default" / "empty").mkdir()
    (claim / "default" / "lost+found").mkdir()
    assert list(removal.unknown(claim, "default", ["warm"])) == []
    assert list(removal.unknown(claim, "default", ["other"])) == ["warm"]
    assert list(removal.unknown(claim, "elsewhere", [])) == []


async def test_a_cancellation_that_comes_as_the_erasing_ends_is_not_lost(
    claim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncio.wait_for of Python 3.11 loses it, and an agent that ends waits for ever."""
    waited: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def started(*_: str, **__: object) -> SimpleNamespace:
        return SimpleNamespace(returncode=0, wait=lambda: waited)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", started)
    erasing = asyncio.create_task(removal.erase([claim / "gone"]))
    for _ in range(3):
        await asyncio.sleep(0)
    waited.set_result(0)
    await asyncio.sleep(0)
    erasing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await erasing
