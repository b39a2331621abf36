"""What one box wrote is found, to the last attribute, in another box after archive and apply."""

# ruff: noqa: PTH102, PTH108, PTH118, PTH208, PTH211
# (names are bytes here, and paths lead through /proc)

import itertools
import os
import shutil
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from boxes import Box, applied, archived, copying, seen

from chrek.errors import FilesTooLargeError, FilesUnsupportedError
from chrek.manifest import FileRoot

BOTH = pytest.mark.parametrize("place", [".", "tmp"], ids=["overlay", "tmpfs"])


def travels(source: Box, target: Box, archive_path: Path) -> None:
    """Archive and apply in one go; both boxes then show the same."""
    applied(archive_path, archived(source, archive_path), target)
    assert seen(target.root) == seen(source.root)


def test_roots_are_the_overlay_and_every_tmpfs_that_is_not_the_runtimes(source: Box) -> None:
    found = {made.root for made in copying(source, Path(os.devnull)).sources}
    assert found == {
        FileRoot("/", "overlay"),
        FileRoot("/tmp", "tmpfs"),
        FileRoot("/dev/shm", "tmpfs"),
    }


def test_a_box_that_wrote_nothing_makes_an_archive_that_changes_nothing(
    source: Box, target: Box, archive_path: Path
) -> None:
    before = seen(target.root)
    travels(source, target, archive_path)
    assert seen(target.root) == before


@BOTH
def test_regular_files_of_any_size_travel(
    source: Box, target: Box, archive_path: Path, place: str
) -> None:
    for size in (0, 1, 511, 512, 513, 65536, (1 << 20) - 1, (3 << 20) + 7):
        (source / place / f"{size}").write_bytes(os.urandom(size))
    travels(source, target, archive_path)


NAMES = (
    *(b"caf\xe9", b"new\nline", b"\xff\xfe", "größe".encode(), b"a b\\c", b"x" * 255, b"0=1"),
    *(b"-", b"...", b" ", b"\x01", "\u2028".encode(), b"\xe9" * 255, b"*"),
)


@BOTH
def test_names_are_bytes_of_any_kind(
    source: Box, target: Box, archive_path: Path, place: str
) -> None:
    for name in NAMES:
        directory = os.path.join(os.fsencode(source / place), name)
        file = os.path.join(directory, name)
        os.mkdir(directory)
        Path(os.fsdecode(file)).write_bytes(name)
        os.symlink(name, os.path.join(directory, b"link"))
        os.link(file, os.path.join(directory, b"hard"))
    travels(source, target, archive_path)


def test_a_path_far_longer_than_a_tar_header_holds_travels(
    source: Box, target: Box, archive_path: Path
) -> None:
    deep = source / "/".join(["n" * 200] * 12)
    deep.mkdir(parents=True)
    (deep / "file").write_text("deep")
    (deep / "link").hardlink_to(deep / "file")
    travels(source, target, archive_path)


@BOTH
def test_symbolic_links_travel_as_they_are(
    source: Box, target: Box, archive_path: Path, place: str
) -> None:
    for number, leads in enumerate(
        ("/", "/nowhere", "../../..", "file", "a/", "//", "\udcff", "l" * 3000, "n\n", "é/")
    ):
        (source / place / f"{number}").symlink_to(leads)
        os.unlink(source / place / f"{number}")
        os.symlink(leads, source / place / f"{number}")
    travels(source, target, archive_path)


@BOTH
def test_hard_links_stay_one_file_across_directories(
    source: Box, target: Box, archive_path: Path, place: str
) -> None:
    (source / place / "one/deep").mkdir(parents=True)
    (source / place / "another").mkdir()
    (source / place / "one/deep/file").write_text("shared")
    for name in ("another/link", "first"):
        (source / place / name).hardlink_to(source / place / "one/deep/file")
    travels(source, target, archive_path)
    assert (target / place / "first").stat().st_nlink == 3


@BOTH
def test_fifos_and_devices_travel(source: Box, target: Box, archive_path: Path, place: str) -> None:
    os.mkfifo(source / place / "fifo", 0o640)
    os.mknod(source / place / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(source / place / "loop", stat.S_IFBLK | 0o600, os.makedev(7, 0))
    travels(source, target, archive_path)


@BOTH
def test_permissions_and_owners_travel(
    source: Box, target: Box, archive_path: Path, place: str
) -> None:
    for mode in (0o0, 0o4755, 0o2755, 0o1777, 0o6511, 0o666):
        home = source / place / f"{mode}"
        home.mkdir()
        (home / "file").write_text("x")
        (home / "directory").mkdir()
        os.mkfifo(home / "fifo")
        (home / "link").symlink_to("nowhere")
        for path in (home, *home.iterdir()):
            os.chown(path, 1234, 4_000_000_000, follow_symlinks=False)
            if not path.is_symlink():
                path.chmod(mode)
    travels(source, target, archive_path)


@BOTH
def test_extended_attributes_travel_whatever_their_bytes(
    source: Box, target: Box, archive_path: Path, place: str
) -> None:
    names = ("user.note", "user.a=b", "user.100%", "user.%3D", "user.\udcff", "user.ö", "trusted.x")
    values = (b"", b"text", bytes(range(256)), b"\xff\n5 a=b\n", b"\0")
    for number, value in enumerate(values):
        (source / place / f"file-{number}").write_text("x")
        (source / place / f"directory-{number}").mkdir()
        for name in names:
            os.setxattr(source / place / f"file-{number}", name, value)
            os.setxattr(source / place / f"directory-{number}", name, value)
    travels(source, target, archive_path)
    assert os.getxattr(target / place / "file-2", "user.a=b") == bytes(range(256))


def test_file_capabilities_travel(source: Box, target: Box, archive_path: Path) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    (source / "ping").write_text("x")
    os.chown(source / "ping", 5, 5)
    os.setxattr(source / "ping", "security.capability", capability)
    travels(source, target, archive_path)
    assert os.getxattr(target / "ping", "security.capability") == capability


def test_labels_of_the_source_do_not_travel(source: Box, target: Box, archive_path: Path) -> None:
    label = b"system_u:object_r:container_file_t:s0:c1,c2\0"
    (source / "file").write_text("x")
    try:
        os.setxattr(source / "file", "security.selinux", label)
    except OSError as error:
        pytest.skip(f"this machine guards security.selinux: {error}")
    applied(archive_path, archived(source, archive_path), target)
    assert (target / "file").read_text() == "x"
    values = [os.getxattr(target / "file", name) for name in os.listxattr(target / "file")]
    assert label not in values


def test_an_attribute_that_the_source_removed_from_a_directory_is_gone(
    source: Box, target: Box, archive_path: Path
) -> None:
    os.removexattr(source / "e/d", "user.image")
    travels(source, target, archive_path)


@BOTH
def test_times_travel_to_the_nanosecond(
    source: Box, target: Box, archive_path: Path, place: str
) -> None:
    for nanoseconds in (0, 1, 1_234_567_890_123_456_789, -1_500_000_000):
        home = source / place / f"{nanoseconds}"
        home.mkdir()
        (home / "file").write_text("x")
        (home / "link").symlink_to("nowhere")
        os.mkfifo(home / "fifo")
        for path in (*home.iterdir(), home):
            os.utime(path, ns=(nanoseconds, nanoseconds), follow_symlinks=False)
            assert path.lstat().st_mtime_ns == nanoseconds
    travels(source, target, archive_path)


@BOTH
def test_a_sparse_file_stays_sparse(
    source: Box, target: Box, archive_path: Path, place: str
) -> None:
    with (source / place / "sparse").open("wb") as file:
        file.seek(20 << 20)
        file.write(b"island")
        file.truncate(40 << 20)
    travels(source, target, archive_path)
    assert (target / place / "sparse").stat().st_blocks * 512 < 1 << 20


def test_files_of_the_image_that_the_source_deleted_are_gone(
    source: Box, target: Box, archive_path: Path
) -> None:
    (source / "etc/motd").unlink()
    shutil.rmtree(source / "d")
    travels(source, target, archive_path)
    assert not (target / "d").exists()
    assert not (target / "etc/motd").exists()


def test_a_directory_of_the_image_made_anew_holds_only_what_is_new(
    source: Box, target: Box, archive_path: Path
) -> None:
    shutil.rmtree(source / "d")
    (source / "d").mkdir()
    (source / "d/mine").write_text("x")
    travels(source, target, archive_path)
    assert os.listdir(target / "d") == ["mine"]


@pytest.mark.parametrize("instead", ["file", "link", "fifo"])
def test_a_directory_of_the_image_may_turn_into_something_else(
    source: Box, target: Box, archive_path: Path, instead: str
) -> None:
    shutil.rmtree(source / "d")
    make(source / "d", instead)
    travels(source, target, archive_path)


def test_files_and_links_of_the_image_may_turn_into_directories(
    source: Box, target: Box, archive_path: Path
) -> None:
    for was in ("etc/motd", "e/f"):
        (source / was).unlink()
        (source / was).mkdir()
        (source / was / "inside").write_text("x")
    travels(source, target, archive_path)


def test_a_file_of_the_image_that_was_renamed_has_its_new_name_only(
    source: Box, target: Box, archive_path: Path
) -> None:
    (source / "etc/motd").rename(source / "e/moved")
    travels(source, target, archive_path)
    assert not (target / "etc/motd").exists()


def test_a_directory_of_the_image_keeps_its_files_when_only_its_owner_changed(
    source: Box, target: Box, archive_path: Path
) -> None:
    os.chown(source / "d", 7, 8)
    (source / "e/d").chmod(0o1700)
    travels(source, target, archive_path)
    assert (target / "d/f").read_bytes() == b"lower file"


def test_a_volume_inside_of_a_tmpfs_is_not_archived(
    new_box: Callable[..., Box], archive_path: Path, tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "file").write_text("of the volume")
    source, target = new_box(f"{volume}:/tmp/volume"), new_box()
    (source / "tmp/mine").write_text("x")
    applied(archive_path, archived(source, archive_path), target)
    assert os.listdir(target / "tmp") == ["mine"]


@BOTH
def test_sockets_are_left_to_criu(source: Box, target: Box, archive_path: Path, place: str) -> None:
    (source / place / "sockets").mkdir()
    make(source / place / "sockets" / "s", "socket")
    travels(source, target, archive_path)
    assert os.listdir(target / place / "sockets") == []


def test_a_file_of_the_image_is_gone_where_a_socket_took_its_name(
    source: Box, target: Box, archive_path: Path
) -> None:
    delete(source / "etc/motd")
    make(source / "etc/motd", "socket")
    travels(source, target, archive_path)


def test_what_a_volume_covers_is_not_archived(
    new_box: Callable[..., Box], archive_path: Path, tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    source, target = new_box(f"{volume}:/d/d"), new_box()
    (source / "d/d/more").write_text("of the volume")
    (source / "d/mine").write_text("x")
    applied(archive_path, archived(source, archive_path), target)
    assert (volume / "more").exists()
    assert sorted(os.listdir(target / "d")) == ["d", "f", "mine"]
    assert os.listdir(target / "d/d") == ["f"]


def test_more_than_the_limit_is_refused(source: Box, archive_path: Path) -> None:
    (source / "big").write_bytes(bytes(1000))
    (source / "tmp/big").write_bytes(bytes(1000))
    archived(source, archive_path, limit_bytes=2000)
    with pytest.raises(FilesTooLargeError, match="more than 0 MiB"):
        archived(source, archive_path, limit_bytes=1999)


def test_a_tree_deeper_than_can_be_walked_is_refused_in_a_sentence(
    source: Box, archive_path: Path
) -> None:
    here = os.open(source / "tmp", os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    with pytest.raises(FilesUnsupportedError, match="deep"):
        archived(source, archive_path)


# Two passes: the second is made while the source stands still, and tells only what changed.

KINDS = ("file", "link", "fifo", "directory", "tree", "socket", "nothing")


@BOTH
def test_whatever_is_replaced_between_the_passes_ends_up_right(
    source: Box, target: Box, archive_path: Path, place: str
) -> None:
    pairs = list(itertools.product(KINDS, KINDS))
    for before, after in pairs:
        make(source / place / f"{before} to {after}", before)

    def change() -> None:
        for before, after in pairs:
            delete(source / place / f"{before} to {after}")
            make(source / place / f"{before} to {after}", after)

    between(source, target, archive_path, change)


@pytest.mark.parametrize("after", KINDS)
def test_a_directory_of_the_image_replaced_between_the_passes_ends_up_right(
    source: Box, target: Box, archive_path: Path, after: str
) -> None:
    (source / "d/mine").mkdir()
    (source / "d/mine/file").write_text("x")

    def change() -> None:
        delete(source / "d")
        make(source / "d", after)

    between(source, target, archive_path, change)


@BOTH
def test_what_changes_between_the_passes_ends_up_right(
    source: Box, target: Box, archive_path: Path, place: str
) -> None:
    home = source / place / "home"
    (home / "kept/deep").mkdir(parents=True)
    for name in ("same", "changed", "deleted", "kept/deep/deleted", "linked", "renamed"):
        (home / name).write_text("before")
    (home / "unlinked").hardlink_to(home / "linked")

    def change() -> None:
        (home / "changed").write_text("after!")
        (home / "deleted").unlink()
        (home / "kept/deep/deleted").unlink()
        (home / "created").write_text("new")
        (home / "same").chmod(0o600)
        (home / "kept/again").hardlink_to(home / "linked")
        (home / "unlinked").unlink()
        (home / "renamed").rename(home / "kept/renamed")

    between(source, target, archive_path, change)


@BOTH
def test_the_second_pass_copies_only_what_changed(
    source: Box, archive_path: Path, place: str
) -> None:
    (source / place / "large").write_bytes(os.urandom(1 << 20))
    settle(source / place / "large")
    with copying(source, archive_path, limit_bytes=(1 << 20) + 100) as archive:
        archive.copy()
        (source / place / "small").write_bytes(bytes(100))
        archive.copy()
        (source / place / "another").write_bytes(b"x")
        with pytest.raises(FilesTooLargeError):
            archive.copy()


def test_a_directory_that_hides_the_images_keeps_its_files_when_one_is_added(
    source: Box, target: Box, archive_path: Path
) -> None:
    shutil.rmtree(source / "d")
    (source / "d").mkdir()
    (source / "d/early").write_text("kept")
    settle(source / "d/early")
    between(source, target, archive_path, lambda: (source / "d/late").write_text("added"))
    assert sorted(os.listdir(target / "d")) == ["early", "late"]


def test_a_tree_moved_away_and_back_while_its_parent_was_made_anew_is_whole(
    source: Box, target: Box, archive_path: Path
) -> None:
    (source / "d/mine/deep").mkdir(parents=True)
    (source / "d/mine/deep/file").write_text("untouched")
    settle(source / "d/mine/deep/file")

    def change() -> None:
        (source / "d/mine").rename(source / "e/mine")
        shutil.rmtree(source / "d")
        (source / "d").mkdir()
        (source / "e/mine").rename(source / "d/mine")

    between(source, target, archive_path, change)
    assert (target / "d/mine/deep/file").read_text() == "untouched"


@BOTH
def test_a_rewrite_within_one_tick_of_the_file_systems_clock_is_seen(
    source: Box, target: Box, archive_path: Path, place: str
) -> None:
    """Size and both times may stay what they were (before Linux 6.13: for 4 ms and more)."""
    file = source / place / "file"
    for attempt in range(20):
        write_with_time(file, f"first {attempt:02}")
        with copying(source, archive_path) as archive:
            archive.copy()
            write_with_time(file, f"other {attempt:02}")
            archive.copy()
    applied(archive_path, [found.root for found in archive.sources], target)
    assert seen(target.root) == seen(source.root)


@BOTH
@pytest.mark.parametrize("other", ["", "hard"], ids=["one name", "two names"])
def test_writes_through_a_shared_mapping_are_seen(
    source: Box, target: Box, archive_path: Path, place: str, other: str
) -> None:
    """They change no time once the page is writable: POSIX shared memory, databases."""
    path = source / place / "memory"
    path.write_bytes(bytes(8192))
    if other:
        (source / place / other).hardlink_to(path)
    source.do(f"file = os.open('/{place}/memory', os.O_RDWR)")
    source.do("memory = mmap.mmap(file, 8192); os.close(file); memory[:6] = b'before'")
    settle(path)
    between(source, target, archive_path, lambda: source.do("memory[:6] = b'after!'"))
    assert (target / place / "memory").read_bytes()[:6] == b"after!"


def between(source: Box, target: Box, archive_path: Path, change: Callable[[], object]) -> None:
    """Two passes with `change` between them; both boxes then show the same."""
    with copying(source, archive_path) as archive:
        archive.copy()
        change()
        archive.copy()
    applied(archive_path, [found.root for found in archive.sources], target)
    assert seen(target.root) == seen(source.root)


def settle(path: Path) -> None:
    """Wait until the file system's clock has gone on since `path` changed."""
    while time.time_ns() < path.lstat().st_ctime_ns + 200_000_000:
        time.sleep(0.01)


def write_with_time(path: Path, text: str) -> None:
    path.write_text(text)
    os.utime(path, ns=(5, 5))


def make(path: Path, kind: str) -> None:
    match kind:
        case "file":
            path.write_text("a file")
        case "link":
            path.symlink_to("/etc")
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "tree":
            (path / "deep/deeper").mkdir(parents=True)
            (path / "deep/file").write_text("in the tree")
        case "socket":
            with socket.socket(socket.AF_UNIX) as made:
                directory = os.open(path.parent, os.O_RDONLY)
                made.bind(f"/proc/self/fd/{directory}/{path.name}")
                os.close(directory)
        case "nothing":
            pass


def delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
