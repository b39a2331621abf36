"""emptyDirs: shared with other containers of the pod, and older and younger than this one."""

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tarfile import TarInfo
from typing import Protocol

import pytest
from boxes import Box, applied, archived, copying

from agent.files import entry, roots
from agent.files.walk import walk
from chrek.errors import FilesRestoreError, FilesTooLargeError
from chrek.manifest import FileRoot

Boxes = Callable[..., Box]
Pods = tuple[Box, Path, Box, Path]


class Node(Protocol):
    """Makes a volume's directory, a tmpfs where its name begins with `memory`."""

    def __call__(self, plugin: str, name: str, pod: str = "uid") -> Path: ...


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Makes volumes of pods on the host, as the kubelet names them."""
    with ExitStack() as stack:

        def volume(plugin: str, name: str, pod: str = "uid") -> Path:
            path = tmp_path / "pods" / pod / "volumes" / f"kubernetes.io~{plugin}" / name
            path.mkdir(parents=True)
            if name.startswith("memory"):
                subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path], check=True)
                stack.callback(subprocess.run, ["umount", "--lazy", path], check=True)
            return path

        yield volume


def points(box: Box) -> dict[str, str]:
    return {source.root.point: source.root.kind for source in roots.of(box.pid)}


def test_only_empty_dirs_travel_of_a_pods_volumes(
    new_box: Boxes, node: Node, tmp_path: Path
) -> None:
    (tmp_path / "host").mkdir()
    box = new_box(
        f"{node('empty-dir', 'cache')}:/cache",
        f"{node('empty-dir', 'memory')}:/memory",
        f"{node('csi', 'pvc')}:/data",
        f"{node('csi', 'memory-csi')}:/secrets-store",
        f"{node('configmap', 'config')}:/etc/config",
        f"{node('secret', 'memory-secret')}:/etc/secret",
        f"{node('empty-dir', 'chrek')}:/chrek",
        f"{tmp_path / 'host'}:/host",
    )
    assert points(box) == {
        "/": "overlay",
        "/tmp": "tmpfs",
        "/dev/shm": "tmpfs",
        "/cache": "volume",
        "/memory": "volume",
    }


def test_an_empty_dir_that_is_read_only_here_does_not_travel(new_box: Boxes, node: Node) -> None:
    box = new_box(f"{node('empty-dir', 'cache')}:/cache")
    box.do("calls.mount('', '/cache', '', 0x1021, '')")
    assert "/cache" not in points(box)


def test_memory_of_the_host_does_not_travel(new_box: Boxes) -> None:
    box = new_box("/dev/shm:/host-memory")
    assert "/host-memory" not in points(box)
    shared = new_box()
    shared.do("calls.umount2('/dev/shm', 2)")
    assert "/dev/shm" not in points(shared)


def test_an_empty_dir_in_place_of_dev_shm_is_memory_of_the_processes(
    new_box: Boxes, node: Node
) -> None:
    box = new_box(f"{node('empty-dir', 'memory')}:/dev/shm")
    assert points(box)["/dev/shm"] == "tmpfs"


def test_a_volume_that_is_mounted_twice_is_copied_once(
    new_box: Boxes, node: Node, archive_path: Path
) -> None:
    cache = node("empty-dir", "cache")
    (cache / "sub").mkdir()
    (cache / "sub/file").write_text("one")
    (cache / "single").write_text("a file that is mounted by itself")
    box = new_box(f"{cache / 'sub'}:/part", f"{cache}:/cache", f"{cache}:/again")
    box.do("open('/single', 'w').close(); calls.mount('/cache/single', '/single', '', 0x1000, '')")
    assert [point for point, kind in points(box).items() if kind == "volume"] == ["/cache"]
    assert roots.points(box.pid) >= {"/cache", "/again", "/part"}
    assert "/single" not in roots.points(box.pid)


def test_a_part_that_covers_itself_in_the_whole_is_copied(new_box: Boxes, node: Node) -> None:
    cache = node("empty-dir", "cache")
    (cache / "sub").mkdir()
    box = new_box(f"{cache}:/cache")
    box.do("calls.mount('/cache/sub', '/cache/sub', '', 0x1000, '')")
    assert {"/cache", "/cache/sub"} <= points(box).keys()


@pytest.fixture
def pods(new_box: Boxes, node: Node) -> tuple[Box, Path, Box, Path]:
    """A source and a placeholder, each with the emptyDir of its pod at /cache."""
    here, there = node("empty-dir", "cache", "source"), node("empty-dir", "cache", "copy")
    return new_box(f"{here}:/cache"), here, new_box(f"{there}:/cache"), there


def test_files_are_added_and_replaced_and_those_of_others_stay(
    pods: Pods, archive_path: Path
) -> None:
    source, here, target, there = pods
    (here / "mine").write_text("of the source")
    (here / "dir/below").mkdir(parents=True)
    (here / "dir/below/file").write_text("deep")
    (here / "both").write_text("newer")
    for volume in (here, there):
        os.mknod(volume / "sidecar.sock", 0o600 | stat.S_IFSOCK)
    (there / "both").write_text("older")
    (there / "dir").mkdir()
    (there / "dir/theirs").write_text("of the sidecar")

    applied(archive_path, archived(source, archive_path), target)

    assert (there / "mine").read_text() == "of the source"
    assert (there / "both").read_text() == "newer"
    assert (there / "dir/below/file").read_text() == "deep"
    assert (there / "dir/theirs").read_text() == "of the sidecar"
    assert stat.S_ISSOCK((there / "sidecar.sock").lstat().st_mode)


def test_what_the_source_deleted_while_it_was_copied_is_not_left_behind(
    pods: Pods, archive_path: Path
) -> None:
    source, here, target, there = pods
    (here / "new").write_text("1")
    (here / "dir/sub").mkdir(parents=True)
    (here / "dir/sub/new").write_text("1")
    (here / "theirs").write_text("1")
    (there / "theirs").write_text("2")
    (there / "dir").mkdir()
    (there / "dir/theirs").write_text("2")
    with copying(source, archive_path) as archive:
        archive.copy()
        for path in ("new", "theirs", "dir/sub/new"):
            (here / path).unlink()
        (here / "dir/sub").rmdir()
        (here / "dir").rmdir()
        archive.copy()
        file_roots = [found.root for found in archive.sources]

    applied(archive_path, file_roots, target)

    assert names(there) == ["dir", "dir/theirs", "theirs"]


def test_a_directory_of_others_does_not_make_way_for_a_file(pods: Pods, archive_path: Path) -> None:
    source, here, target, there = pods
    (here / "name").write_text("a file")
    (there / "name").mkdir()
    (there / "name/theirs").write_text("of the sidecar")
    with pytest.raises(FilesRestoreError, match="name is a directory here"):
        applied(archive_path, archived(source, archive_path), target)
    assert (there / "name/theirs").exists()


def test_after_a_restart_a_volume_stays_as_it_is(pods: Pods, archive_path: Path) -> None:
    source, here, target, there = pods
    (here / "state").write_text("as captured")
    (source / "etc/new").write_text("in the root")
    (there / "state").write_text("since then")

    applied(archive_path, archived(source, archive_path), target, restart=True)

    assert (there / "state").read_text() == "since then"
    assert (target / "etc/new").read_text() == "in the root"


def test_a_restore_that_fails_takes_back_what_outlives_the_container(
    pods: Pods, archive_path: Path
) -> None:
    source, here, target, there = pods
    (here / "dir").mkdir()
    (here / "dir/lock").write_text("1")
    (here / "known").write_text("1")
    (source / "dev/shm/segment").write_text("1")
    (there / "known").write_text("2")
    written = applied(archive_path, archived(source, archive_path), target)
    (there / "theirs").write_text("came meanwhile")

    written.withdraw()

    assert names(there) == ["known", "theirs"]
    assert not (target / "dev/shm/segment").exists()


def test_too_much_is_refused_before_a_byte_is_copied(pods: Pods, archive_path: Path) -> None:
    source, here, _, _ = pods
    with (here / "model").open("wb") as file:
        file.truncate(5 << 30)
    (source / "tmp/small").write_bytes(bytes(3 << 20))
    with (
        pytest.raises(FilesTooLargeError, match=r"more than 64 MiB.*: /cache 5120 MiB, /tmp 3 MiB"),
        copying(source, archive_path) as archive,
    ):
        archive.copy()
    assert archive_path.stat().st_size < 100


def test_a_file_removed_by_others_while_it_is_copied_is_no_failure(
    pods: Pods, archive_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, here, target, there = pods
    (here / "a").write_text("1")
    (here / "b").write_text("1")
    opened = os.open

    def removing(path, *rest, **named):  # type: ignore[no-untyped-def]
        if path == "a":
            (here / "a").unlink(missing_ok=True)
        return opened(path, *rest, **named)

    monkeypatch.setattr(os, "open", removing)
    file_roots = archived(source, archive_path)
    monkeypatch.undo()
    applied(archive_path, file_roots, target)
    assert names(there) == ["b"]


def test_a_device_in_place_of_a_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("")
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        (found,) = walk(directory, frozenset())
        (tmp_path / "name").unlink()
        os.mknod(tmp_path / "name", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
        with pytest.raises(FileNotFoundError, match="another file"):
            found.open()
    finally:
        os.close(directory)


def test_rights_are_not_given_to_what_a_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("")
    (tmp_path / "victim").chmod(0o600)
    (tmp_path / "link").symlink_to("victim")
    told = TarInfo("0/link")
    told.mode = 0o777
    descriptor = os.open(tmp_path / "link", os.O_PATH | os.O_NOFOLLOW)
    try:
        with pytest.raises(OSError, match="replaced by a link"):
            entry.dress(told, descriptor)
    finally:
        os.close(descriptor)
    assert stat.S_IMODE((tmp_path / "victim").stat().st_mode) == 0o600


def test_a_root_that_the_placeholder_lacks_is_named(target: Box, archive_path: Path) -> None:
    archived(target, archive_path)
    with pytest.raises(FilesRestoreError, match="no /cache"):
        applied(archive_path, [FileRoot("/", "overlay"), FileRoot("/cache", "volume")], target)


def names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))
