"""Neither a hostile placeholder nor a hostile archive makes apply write outside of the box."""

import contextlib
import io
import os
import random
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from boxes import Box, applied, archived, box, seen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.files.archive import END, OPAQUE
from chrek.errors import FilesRestoreError
from chrek.manifest import FileRoot

ROOTS = [FileRoot("/", "overlay"), FileRoot("/tmp", "tmpfs")]


def entry(name: str, kind: bytes = tarfile.REGTYPE, **facts: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    for fact, value in facts.items():
        setattr(made, fact, value)
    return made


def packed(path: Path, *entries: tarfile.TarInfo, end: bool = True) -> Path:
    """An archive of hand-made entries, each regular file full of x."""
    plain = io.BytesIO()
    with tarfile.open(mode="w", fileobj=plain, format=tarfile.PAX_FORMAT) as tar:
        for each in entries:
            tar.addfile(each, io.BytesIO(b"x" * each.size))
        if end:
            tar.addfile(tarfile.TarInfo(END))
    path.write_bytes(zstandard.compress(plain.getvalue()))
    return path


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory of the host that nothing may touch."""
    made = tmp_path / "outside"
    made.mkdir()
    (made / "file").write_text("the host's own")
    return made


@pytest.mark.parametrize("leads", ["absolute", "relative", "mount"])
def test_a_link_in_place_of_a_directory_is_not_followed(
    target: Box, archive_path: Path, outside: Path, leads: str
) -> None:
    to = {"absolute": str(outside), "relative": "../tmp", "mount": "/tmp"}[leads]
    (target / "e/link").symlink_to(to)
    packed(archive_path, entry("0/e/link/file", size=4))
    with pytest.raises(FilesRestoreError, match="e/link/file"):
        applied(archive_path, ROOTS, target)
    assert (outside / "file").read_text() == "the host's own"
    assert not any((target / "tmp").iterdir())


def test_a_link_to_the_host_in_place_of_a_file_is_replaced_not_written_through(
    target: Box, archive_path: Path, outside: Path
) -> None:
    for name in ("file", "directory", "gone"):
        (target / f"e/{name}").symlink_to(outside / "file" if name != "directory" else outside)
    packed(
        archive_path,
        entry("0/e/file", size=3, mode=0o644),
        entry("0/e/directory", tarfile.DIRTYPE, mode=0o777),
        entry("0/e/gone", tarfile.CHRTYPE),
    )
    mode = outside.stat().st_mode
    applied(archive_path, ROOTS, target)
    assert (target / "e/file").read_text() == "xxx"
    assert stat.S_ISDIR((target / "e/directory").lstat().st_mode)
    assert not os.path.lexists(target / "e/gone")
    assert (outside / "file").read_text() == "the host's own"
    assert outside.stat().st_mode == mode


def test_a_fifo_or_a_directory_in_place_of_a_file_is_replaced(
    source: Box, target: Box, archive_path: Path
) -> None:
    for place in (".", "tmp"):
        for name in ("fifo", "directory"):
            (source / place / name).write_text("a file")
        os.mkfifo(target / place / "fifo")
        (target / place / "directory/below").mkdir(parents=True)
    applied(archive_path, archived(source, archive_path), target)
    assert seen(target.root) == seen(source.root)


def test_a_hard_link_to_a_symbolic_link_is_not_one_to_where_it_leads(
    target: Box, archive_path: Path
) -> None:
    (target / "e/secret").write_text("x")
    packed(
        archive_path,
        entry("0/e/link", tarfile.SYMTYPE, linkname="secret"),
        entry("0/e/other", tarfile.LNKTYPE, linkname="0/e/link"),
    )
    applied(archive_path, ROOTS, target)
    assert (target / "e/other").is_symlink()
    assert (target / "e/secret").stat().st_nlink == 1


@pytest.mark.parametrize(
    "name",
    [
        *("0/../file", "0/..", "0/.", "0/d/../../file", "0/d/..", "0//etc/../../x", "0", "0/", "/"),
        *(
            "/etc/x",
            "etc/x",
            "2/x",
            "-1/x",
            "99999999999999999999/x",
            "²/x",
            "0x/x",
            " /x",
            "end/x",
        ),
        *("0/d/f/x", "0/nowhere/x", "0/tmp/x", "0/" + "n" * 300, "0/" + "n/" * 3000 + "x"),
    ],
    ids=lambda name: name[:20],
)
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.LNKTYPE], ids=str)
def test_a_name_that_leads_elsewhere_is_refused(
    hostile_target: Box, archive_path: Path, name: str, kind: bytes
) -> None:
    before = seen(hostile_target.root)
    packed(archive_path, entry(name, kind, linkname="0/d/f"))
    with pytest.raises(FilesRestoreError):
        applied(archive_path, ROOTS, hostile_target)
    assert seen(hostile_target.root) == before


@pytest.mark.parametrize("leads", ["0/../x", "/etc/passwd", "5/x", "0/nowhere", "0/d", "1/x", ""])
def test_a_hard_link_to_elsewhere_is_refused(
    hostile_target: Box, archive_path: Path, leads: str
) -> None:
    packed(archive_path, entry("0/e/x", tarfile.LNKTYPE, linkname=leads))
    with pytest.raises(FilesRestoreError):
        applied(archive_path, ROOTS, hostile_target)


@pytest.mark.parametrize(
    "facts",
    [
        {"pax_headers": {"CHREK.mtime_ns": "soon"}},
        {"pax_headers": {"CHREK.mtime_ns": "9" * 40}},
        {"pax_headers": {"SCHILY.xattr.nonsense": "x"}},
        {"pax_headers": {"SCHILY.xattr.user.%00": "x"}},
        {"pax_headers": {"SCHILY.xattr.user.x": "x" * 100_000}},
        {"uid": 1 << 70},
    ],
    ids=str,
)
def test_facts_that_make_no_sense_are_refused(
    hostile_target: Box, archive_path: Path, facts: dict[str, object]
) -> None:
    packed(archive_path, entry("0/e/x", **facts))
    with pytest.raises(FilesRestoreError):
        applied(archive_path, ROOTS, hostile_target)


@pytest.fixture(scope="module")
def hostile_target(lower: Path) -> Iterator[Box]:
    """One box for many archives that must leave it as it is."""
    with box(lower) as made:
        yield made


@pytest.mark.parametrize("content", [b"", b"no zstd at all", b"\x28\xb5\x2f\xfd", bytes(600)])
def test_what_is_no_archive_is_refused(
    hostile_target: Box, archive_path: Path, content: bytes
) -> None:
    archive_path.write_bytes(content)
    with pytest.raises(FilesRestoreError):
        applied(archive_path, ROOTS, hostile_target)
    archive_path.write_bytes(zstandard.compress(content))
    with pytest.raises(FilesRestoreError):
        applied(archive_path, ROOTS, hostile_target)


def test_an_archive_without_its_last_entry_is_refused(
    hostile_target: Box, archive_path: Path
) -> None:
    packed(archive_path, entry("0/e/x", tarfile.CHRTYPE), end=False)
    with pytest.raises(FilesRestoreError, match="cut off"):
        applied(archive_path, ROOTS, hostile_target)


def test_an_archive_cut_off_anywhere_is_refused(
    source: Box, target: Box, archive_path: Path
) -> None:
    for number in range(4):
        (source / f"tmp/{number}").write_bytes(random.Random(number).randbytes(700))
    file_roots = archived(source, archive_path)
    whole = archive_path.read_bytes()
    plain = zstandard.ZstdDecompressor().stream_reader(whole).read()
    end = plain.rindex(END.encode().ljust(100, b"\0"))
    for size in range(0, len(whole) - 40, 97):
        archive_path.write_bytes(whole[:size])
        with pytest.raises(FilesRestoreError):
            applied(archive_path, file_roots, target)
    for size in range(0, end + 1, 256):
        archive_path.write_bytes(zstandard.compress(plain[:size]))
        with pytest.raises(FilesRestoreError):
            applied(archive_path, file_roots, target)


@pytest.mark.parametrize("how", ["opaque", "deleted", "file", "above", "owner"])
def test_a_volume_of_the_placeholder_is_never_touched(
    new_box: Callable[..., Box], archive_path: Path, outside: Path, how: str
) -> None:
    target = new_box(f"{outside}:/d/d")
    made = {
        "opaque": entry("0/d/d", tarfile.DIRTYPE, pax_headers={OPAQUE: "y"}),
        "deleted": entry("0/d/d", tarfile.CHRTYPE),
        "file": entry("0/d/d", size=3),
        "above": entry("0/d", tarfile.DIRTYPE, pax_headers={OPAQUE: "y"}),
        "owner": entry("0/d/d", tarfile.DIRTYPE, uid=77, mode=0o777),
    }[how]
    before = outside.stat()
    packed(archive_path, made)
    with pytest.raises(FilesRestoreError):
        applied(archive_path, ROOTS, target)
    assert (outside / "file").read_text() == "the host's own"
    assert (target / "d/d/file").read_text() == "the host's own"  # and it is still mounted
    assert (outside.stat().st_uid, outside.stat().st_mode) == (before.st_uid, before.st_mode)


def test_a_tree_of_the_placeholder_too_deep_to_delete_is_an_error_of_chreks(
    target: Box, archive_path: Path
) -> None:
    here = os.open(target / "tmp", os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    packed(archive_path, entry("1/d", tarfile.CHRTYPE))
    with pytest.raises(FilesRestoreError, match="/d could not be written"):
        applied(archive_path, ROOTS, target)


def test_a_placeholder_without_the_root_is_refused(
    new_box: Callable[..., Box], source: Box, archive_path: Path
) -> None:
    archived(source, archive_path)
    with pytest.raises(FilesRestoreError, match="the placeholder has no /nowhere"):
        applied(archive_path, [FileRoot("/nowhere", "tmpfs")], source)
    ended = new_box()
    ended.process.kill()
    ended.process.wait()
    gone = Box(ended.base, 1 << 22, ended.process)
    ended.process.returncode = 0
    with pytest.raises(FilesRestoreError, match="the placeholder has no /"):
        applied(archive_path, [FileRoot("/", "overlay")], gone)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(spots=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=4))
def test_an_archive_with_any_bytes_changed_is_applied_or_refused_but_stays_inside(
    hostile_target: Box, archive_path: Path, spots: list[tuple[float, int]]
) -> None:
    packed(
        archive_path,
        entry("1/directory", tarfile.DIRTYPE, mode=0o755),
        entry("1/directory/é", size=20, pax_headers={"CHREK.mtime_ns": "1"}),
        entry("1/link", tarfile.LNKTYPE, linkname="1/directory/é"),
        entry("1/symbolic", tarfile.SYMTYPE, linkname="/"),
    )
    plain = bytearray(zstandard.decompress(archive_path.read_bytes()))
    headers = [i for i, byte in enumerate(plain) if byte]
    for where, byte in spots:
        plain[headers[int(where * len(headers))]] = byte
    for start in range(0, len(plain), 512):  # checksums that fit, so that it is believed
        block = plain[start : start + 512]
        if block[257:262] == b"ustar":
            total = sum(block[:148]) + 256 + sum(block[156:])
            plain[start + 148 : start + 156] = b"%06o\0 " % total
    archive_path.write_bytes(zstandard.compress(bytes(plain)))
    before = {
        path: facts for path, facts in seen(hostile_target.root).items() if path[:3] != b"tmp"
    }
    with contextlib.suppress(FilesRestoreError):
        applied(archive_path, ROOTS[1:] * 2, hostile_target)
    after = {path: facts for path, facts in seen(hostile_target.root).items() if path[:3] != b"tmp"}
    assert after == before
    for left in (hostile_target / "tmp").iterdir():
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
