"""Paths in files.img: those that are elsewhere in the placeholder are rewritten, no others."""

import stat
import struct
from typing import Any

import pytest

from agent.criu import framing
from agent.criu.bundle import Bundle, find, messages
from agent.criu.moved import Here, moved
from chrek.errors import DamagedError, MachineError, VolumeFileChangedError

MAGIC = struct.pack("<2I", 0x54564319, 0x56303138)
OLD, NEW = "/etc/config/..2026_01_01_00_00_00.1", "/etc/config/..2026_02_02_00_00_00.2"
FILE, DIRECTORY = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755
BUILD_ID = [1, 2, 3]


class Images:
    """Builds and reads files.img."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.module = messages(bundle.path, "fdinfo_pb2")

    def entry(self, kind: str) -> Any:
        return self.module.file_entry(id=1, type=self.module.fd_types.Value(kind))

    def file(self, name: str, *, mode: int = FILE, size: int | None = 10) -> Any:
        entry = self.entry("REG")
        entry.reg.id, entry.reg.flags, entry.reg.pos, entry.reg.name = 1, 0, 5, name
        entry.reg.mode = mode
        if size is not None:
            entry.reg.size = size
        _owned(entry.reg.fown)
        return entry

    def watches(self, *paths: str | None) -> Any:
        entry = self.entry("INOTIFY")
        entry.ify.id, entry.ify.flags = 1, 0
        _owned(entry.ify.fown)
        for number, path in enumerate(paths, 1):
            watch = entry.ify.wd.add(
                id=1, i_ino=number, mask=0xFFF, ignored_mask=0, s_dev=1, wd=number
            )
            _handle(watch.f_handle, path)
        return entry

    def marks(self, path: str) -> Any:
        entry = self.entry("FANOTIFY")
        entry.ffy.id = entry.ffy.flags = entry.ffy.faflags = entry.ffy.evflags = 0
        _owned(entry.ffy.fown)
        mark = entry.ffy.mark.add(id=1, type=1, mflags=0, mask=1, ignored_mask=0, s_dev=1)
        mark.ie.i_ino = 5
        _handle(mark.ie.f_handle, path)
        other = entry.ffy.mark.add(id=1, type=2, mflags=0, mask=1, ignored_mask=0, s_dev=1)
        other.me.mnt_id = 7
        return entry

    def packed(self, *entries: Any) -> bytes:
        return framing.joined(MAGIC, list(entries))

    def read(self, content: bytes) -> list[Any]:
        return list(framing.entries(content, self.module.file_entry))


def _owned(owner: Any) -> None:
    owner.uid = owner.euid = owner.signum = owner.pid_type = owner.pid = 0


def _handle(handle: Any, path: str | None) -> None:
    handle.bytes, handle.type = 8, 1
    if path is not None:
        handle.path = path


@pytest.fixture(scope="module")
def images() -> Images:
    try:
        return Images(find())
    except MachineError as error:
        pytest.skip(str(error))


def look(path: str) -> Here | None:
    """A placeholder whose ConfigMap has longer files, and which has its own /etc/hosts."""
    if path == "/etc/hosts":
        return Here(path, FILE, 99)
    if not path.startswith(OLD):
        return None
    rest = path.removeprefix(OLD)
    return Here(NEW + rest, FILE if rest else DIRECTORY, 20 if rest else 4096)


def test_a_file_of_a_volume_is_the_new_one_whatever_its_size_and_mode(images: Images) -> None:
    content = images.packed(images.file(f"{OLD}/key", mode=stat.S_IFREG | 0o400))
    (entry,) = images.read(moved(images.bundle, content, look))
    assert entry.reg.name == f"{NEW}/key"
    assert entry.reg.mode == FILE
    assert not entry.reg.HasField("size")
    assert entry.reg.pos == 5


def test_a_file_of_the_pod_itself_may_have_any_size(images: Images) -> None:
    content = images.packed(images.file("/etc/hosts"))
    (entry,) = images.read(moved(images.bundle, content, look))
    assert entry.reg.name == "/etc/hosts"
    assert not entry.reg.HasField("size")


def test_a_directory_is_the_new_one(images: Images) -> None:
    content = images.packed(images.file(OLD, mode=DIRECTORY, size=None))
    (entry,) = images.read(moved(images.bundle, content, look))
    assert entry.reg.name == NEW


def test_watches_are_on_the_new_ones(images: Images) -> None:
    content = images.packed(
        images.watches(f"{OLD}/key", "/etc/config", None), images.marks(f"{OLD}/key")
    )
    watches, marks = images.read(moved(images.bundle, content, look))
    assert [watch.f_handle.path for watch in watches.ify.wd] == [f"{NEW}/key", "/etc/config", ""]
    assert not watches.ify.wd[2].f_handle.HasField("path")
    assert marks.ffy.mark[0].ie.f_handle.path == f"{NEW}/key"
    assert marks.ffy.mark[1].me.mnt_id == 7


def test_all_else_stays_byte_for_byte(images: Images) -> None:
    entries = [images.file("/etc/motd"), images.watches("/etc"), images.entry("PIPE")]
    content = images.packed(*entries)
    assert moved(images.bundle, content, look) == content
    changed = moved(images.bundle, images.packed(images.file(f"{OLD}/key"), *entries), look)
    assert images.read(changed)[1:] == entries


def test_a_program_may_not_be_another_one(images: Images) -> None:
    program = images.file(f"{OLD}/plugin.so", size=10)
    program.reg.build_id[:] = BUILD_ID
    with pytest.raises(VolumeFileChangedError, match=r"plugin\.so was in use"):
        moved(images.bundle, images.packed(program), look)


def test_of_a_program_of_the_same_size_criu_compares_the_build_id(images: Images) -> None:
    program = images.file(f"{OLD}/plugin.so", size=20)
    program.reg.build_id[:] = BUILD_ID
    (entry,) = images.read(moved(images.bundle, images.packed(program), look))
    assert entry.reg.size == 20
    assert list(entry.reg.build_id) == BUILD_ID


def test_a_directory_cannot_take_the_place_of_a_file(images: Images) -> None:
    with pytest.raises(VolumeFileChangedError):
        moved(images.bundle, images.packed(images.file(OLD, mode=FILE)), look)


def test_an_image_that_is_cut_off_is_damaged(images: Images) -> None:
    content = images.packed(images.file(f"{OLD}/key"))
    with pytest.raises(DamagedError):
        moved(images.bundle, content[:-1], look)
