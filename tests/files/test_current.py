"""What a placeholder has in place of a volume's file; its volumes may try to lead elsewhere."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from boxes import Box

from agent.criu.moved import Here
from agent.engine.current import Current
from agent.kernel import process
from agent.runtime.target import Target
from chrek.errors import VolumeFileGoneError
from chrek.ids import HostPID

Boxes = Callable[..., Box]
OLD, NEW = "..2026_01_02_03_04_05.111111111", "..2026_06_07_08_09_10.2"


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A ConfigMap as the kubelet wrote it, with one key at the top and one below."""
    made = tmp_path / "volume"
    (made / NEW / "more").mkdir(parents=True)
    (made / NEW / "key").write_text("new content")
    (made / NEW / "more/deep").write_text("deep")
    (made / "..data").symlink_to(NEW)
    (made / "key").symlink_to("..data/key")
    return made


@pytest.fixture
def box(new_box: Boxes, volume: Path) -> Box:
    return new_box(f"{volume}:/etc/config")


def current(box: Box) -> Current:
    ticks = process.start_ticks(box.pid)
    assert ticks is not None
    return Current(Target("box", "-", HostPID(box.pid), ticks))


def test_a_file_is_the_one_that_the_link_leads_to_now(box: Box) -> None:
    found = current(box).look(f"/etc/config/{OLD}/key")
    assert found == Here(f"/etc/config/{NEW}/key", stat.S_IFREG | 0o644, len("new content"))


@pytest.mark.parametrize("below", ["", "/more", "/more/deep"])
def test_so_are_directories_and_what_is_in_them(box: Box, below: str) -> None:
    found = current(box).look(f"/etc/config/{OLD}{below}")
    assert found is not None
    assert found.path == f"/etc/config/{NEW}{below}"


@pytest.mark.parametrize("rest", ["gone", "more/gone", "key/x", "more/../../../motd"])
def test_a_key_that_is_not_there_is_named(box: Box, rest: str) -> None:
    with pytest.raises(VolumeFileGoneError, match="was in use in the source"):
        current(box).look(f"/etc/config/{OLD}/{rest}")


@pytest.mark.parametrize("leads", ["/etc", "../motd", "..", ".", "key", f"{NEW}/more", f"{NEW}\n"])
def test_a_link_that_leads_elsewhere_is_not_followed(box: Box, volume: Path, leads: str) -> None:
    (volume / "..data").unlink()
    (volume / "..data").symlink_to(leads)
    with pytest.raises(VolumeFileGoneError, match=r"/etc/config/\.\.data leads to"):
        current(box).look(f"/etc/config/{OLD}/key")


def test_a_link_in_place_of_the_directory_is_not_followed(box: Box, volume: Path) -> None:
    (volume / NEW).rename(volume / "real")
    (volume / NEW).symlink_to("real")
    with pytest.raises(VolumeFileGoneError):
        current(box).look(f"/etc/config/{OLD}/key")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/config",
        "/etc/config/key",
        f"/etc/config/sub/{OLD}/key",
        f"/etc/{OLD}/key",
        "/etc/motd",
        "/etc/hosts",
        "relative",
        "",
    ],
)
def test_any_other_file_has_to_be_as_it_was(box: Box, path: str) -> None:
    assert current(box).look(path) is None


def test_a_volume_that_the_kubelet_did_not_write_has_to_be_as_it_was(
    box: Box, volume: Path
) -> None:
    (volume / "..data").unlink()
    assert current(box).look(f"/etc/config/{OLD}/key") is None


def test_a_key_mounted_by_itself_may_have_changed(box: Box) -> None:
    box.do(
        f"open('/alone', 'w').close();"
        f"calls.mount('/etc/config/{NEW}/key', '/alone', '', 0x1000, '')"
    )
    box.do(f"os.mkdir('/part'); calls.mount('/etc/config/{NEW}/more', '/part', '', 0x1000, '')")
    now = current(box)
    assert now.look("/alone") == Here("/alone", stat.S_IFREG | 0o644, len("new content"))
    assert now.look("/part/deep") == Here("/part/deep", stat.S_IFREG | 0o644, len("deep"))
    with pytest.raises(VolumeFileGoneError):
        now.look("/part/gone")


def test_the_pods_own_files_may_have_any_size(box: Box, volume: Path) -> None:
    for name in ("hosts", "resolv.conf", "passwd"):
        box.do(
            f"open('/etc/{name}', 'w').close();"
            f"open('/tmp/{name}', 'w').write('{name}'); "
            f"calls.mount('/tmp/{name}', '/etc/{name}', '', 0x1000, '')"
        )
    now = current(box)
    found = now.look("/etc/hosts")
    assert found is not None
    assert (found.path, found.size_bytes) == ("/etc/hosts", len("hosts"))
    assert now.look("/etc/resolv.conf") is not None
    assert now.look("/etc/passwd") is None
