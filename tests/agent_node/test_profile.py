"""Installing the seccomp profile into a directory that others write to as well."""

import asyncio
import fcntl
import json
import os
import threading
from pathlib import Path

import pytest

from agent.node import flags, profile
from agent.node.profile import ProfileError, content, install
from agent.node.run import keep_profile
from agent.node.status import Status

from .conftest import NEEDED

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: changes a file's owner")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Where the profile goes, below an empty directory."""
    return tmp_path / "seccomp" / profile.NAME


@pytest.fixture
def directory(installed: Path) -> Path:
    """The kubelet's seccomp directory."""
    made = installed.parent.parent
    made.mkdir()
    return made


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file of somebody else, which no install may touch."""
    made = tmp_path / "outside"
    made.write_text("precious")
    return made


def whole(path: Path) -> bool:
    return (
        not path.is_symlink()
        and path.read_bytes() == content()
        and path.stat().st_mode & 0o7777 == 0o644
    )


def test_the_profile_blocks_io_uring_as_if_the_kernel_had_none() -> None:
    found = json.loads(content())
    assert found["defaultAction"] == "SCMP_ACT_ALLOW"
    (rule,) = found["syscalls"]
    assert set(rule["names"]) == {"io_uring_setup", "io_uring_enter", "io_uring_register"}
    assert (rule["action"], rule["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)


def test_it_is_installed_for_all_to_read_under_any_umask(directory: Path, installed: Path) -> None:
    before = os.umask(0o077)
    try:
        assert install(directory)
    finally:
        os.umask(before)
    assert whole(installed)
    assert [path.name for path in installed.parent.iterdir()] == [installed.name]


def test_a_second_time_nothing_is_written(directory: Path, installed: Path) -> None:
    install(directory)
    before = installed.stat()
    assert not install(directory)
    assert installed.stat() == before


def test_what_is_there_beside_it_stays(directory: Path, installed: Path) -> None:
    (directory / "other.json").write_text("{}")
    installed.parent.mkdir()
    (installed.parent / "other.json").write_text("{}")
    install(directory)
    assert (directory / "other.json").read_text() == "{}"
    assert (installed.parent / "other.json").read_text() == "{}"


@pytest.mark.parametrize("found", [b"", b"{}", content() + b"\n", content()[:-1], b"\0" * 4096])
def test_other_content_is_replaced(directory: Path, installed: Path, found: bytes) -> None:
    installed.parent.mkdir()
    installed.write_bytes(found)
    assert install(directory)
    assert whole(installed)


def test_another_mode_is_replaced(directory: Path, installed: Path) -> None:
    install(directory)
    installed.chmod(0o666)
    assert install(directory)
    assert whole(installed)


@needs_root
def test_another_owner_is_replaced(directory: Path, installed: Path) -> None:
    install(directory)
    os.chown(installed, 1000, 1000)
    assert install(directory)
    assert whole(installed)
    assert installed.stat().st_uid == os.geteuid()


def test_a_link_in_its_place_is_replaced_and_not_followed(
    directory: Path, installed: Path, outside: Path
) -> None:
    installed.parent.mkdir()
    installed.symlink_to(outside)
    assert install(directory)
    assert whole(installed)
    assert outside.read_text() == "precious"


def test_a_link_to_the_right_content_is_replaced_too(
    directory: Path, installed: Path, outside: Path
) -> None:
    outside.write_bytes(content())
    installed.parent.mkdir()
    installed.symlink_to(outside)
    assert install(directory)
    assert whole(installed)


def test_a_link_where_it_stages_is_not_followed(
    directory: Path, installed: Path, outside: Path
) -> None:
    installed.parent.mkdir()
    (installed.parent / f".{installed.name}.new").symlink_to(outside)
    assert install(directory)
    assert whole(installed)
    assert outside.read_text() == "precious"
    assert [path.name for path in installed.parent.iterdir()] == [installed.name]


def test_a_link_in_place_of_its_directory_is_refused(
    directory: Path, installed: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    installed.parent.symlink_to(elsewhere)
    with pytest.raises(ProfileError, match=r"no-io-uring\.json could not be written"):
        install(directory)
    assert list(elsewhere.iterdir()) == []


def test_a_fifo_in_its_place_holds_nobody(directory: Path, installed: Path) -> None:
    installed.parent.mkdir()
    os.mkfifo(installed)
    assert install(directory)
    assert whole(installed)


@pytest.mark.parametrize("name", ["no-io-uring.json", ".no-io-uring.json.new"])
def test_a_directory_in_the_way_is_named_and_left(
    directory: Path, installed: Path, name: str
) -> None:
    in_the_way = installed.parent / name
    in_the_way.mkdir(parents=True)
    (in_the_way / "precious").touch()
    with pytest.raises(ProfileError, match="Is a directory") as caught:
        install(directory)
    assert str(installed.parent) in caught.value.hint
    assert [path.name for path in installed.parent.rglob("*")] == [name, "precious"]


def test_two_agents_on_a_node_never_write_at_once(directory: Path, installed: Path) -> None:
    installed.parent.mkdir()
    other = os.open(installed.parent, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ProfileError, match="another agent"):
            install(directory)
    finally:
        os.close(other)
    assert install(directory)


def test_nobody_ever_sees_half_a_profile(directory: Path, installed: Path) -> None:
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(installed.read_bytes())

    install(directory)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(200):
            installed.chmod(0o600)
            assert install(directory)
    finally:
        done.set()
        reader.join()
    assert seen == {content()}


async def test_a_profile_that_is_removed_comes_back(directory: Path, installed: Path) -> None:
    status = Status(flags.parse(["--seccomp-dir", str(directory), *NEEDED]))

    async def there() -> None:
        while not installed.exists() or status.profile_problem:
            await asyncio.sleep(0.01)

    keeping = asyncio.create_task(keep_profile(directory, status, look_again_seconds=0.01))
    try:
        async with asyncio.timeout(60):
            await there()
            installed.unlink()
            await there()
    finally:
        keeping.cancel()
    assert whole(installed)
