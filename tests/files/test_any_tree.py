"""Whatever a program does to its files before and between the two passes, both boxes agree."""

# ruff: noqa: PTH101, PTH102, PTH104, PTH108, PTH112, PTH114, PTH118, PTH120, PTH211
# (names are bytes here, and paths lead through /proc)

import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

from boxes import applied, box, copying, seen
from hypothesis import given, settings
from hypothesis import strategies as st

# Few names, so that they meet: with each other and with what the image has.
NAMES = st.sampled_from([b"d", b"e", b"f", b"etc", b"\xff\n"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)
PLACED = st.tuples(st.sampled_from([b"", b"tmp/"]), PATHS).map(b"".join)
CONTENT = st.binary(max_size=8) | st.integers(1, 3 << 19).map(lambda size: b"\x01" * size)
STEPS = st.one_of(
    st.tuples(st.just("write"), PLACED, CONTENT),
    st.tuples(st.just("append"), PLACED, CONTENT),
    st.tuples(st.just("truncate"), PLACED, st.integers(0, 1 << 20)),
    st.tuples(st.just("mkdir"), PLACED, st.just(0o755)),
    st.tuples(st.just("mkfifo"), PLACED, st.just(0o644)),
    st.tuples(st.just("symlink"), PLACED, st.sampled_from([b"/", b"d", b"/etc/motd", b"\xfe"])),
    st.tuples(st.just("bind"), PLACED, st.none()),
    st.tuples(st.just("remove"), PLACED, st.none()),
    st.tuples(st.just("remake"), PLACED, st.none()),
    st.tuples(st.just("rename"), PLACED, PLACED),
    st.tuples(st.just("link"), PLACED, PLACED),
    st.tuples(st.just("chmod"), PLACED, st.integers(0, 0o7777)),
    st.tuples(st.just("chown"), PLACED, st.integers(0, 1 << 31)),
    st.tuples(st.just("setxattr"), PLACED, st.binary(max_size=40)),
    st.tuples(st.just("utime"), PLACED, st.integers(-(10**18), 4 * 10**18)),
)


def step(root: bytes, kind: str, where: bytes, what: Any) -> None:  # noqa: PLR0912
    """One step of a program; like a program's, many fail."""
    if led_out(root, where) or (kind in ("rename", "link") and led_out(root, bytes(what))):
        return
    path = os.path.join(root, where)
    try:
        match kind, what:
            case "write", bytes():
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | NOT_LED, 0o644)
                written(descriptor, what)
            case "append", bytes():
                written(os.open(path, os.O_WRONLY | os.O_APPEND | NOT_LED), what)
            case "truncate", int():
                descriptor = os.open(path, os.O_WRONLY | NOT_LED)
                os.ftruncate(descriptor, what)
                os.close(descriptor)
            case "mkdir", int():
                os.mkdir(path, what)
            case "mkfifo", int():
                os.mkfifo(path, what)
            case "symlink", bytes():
                os.symlink(what, path)
            case "bind", _:
                with socket.socket(socket.AF_UNIX) as made:
                    made.bind(path)
            case "remove", _:
                remove(path)
            case "remake", _:
                remove(path)
                os.mkdir(path)
            case "rename", bytes():
                os.rename(path, os.path.join(root, what))
            case "link", bytes():
                os.link(path, os.path.join(root, what), follow_symlinks=False)
            case "chmod", int():
                if not os.path.islink(path):
                    os.chmod(path, what)
            case "chown", int():
                os.chown(path, what, what // 2, follow_symlinks=False)
            case "setxattr", bytes():
                os.setxattr(path, "user.test", what, follow_symlinks=False)
            case "utime", int():
                os.utime(path, ns=(what, what), follow_symlinks=False)
    except OSError:
        pass


NOT_LED = os.O_NOFOLLOW | os.O_NONBLOCK


def written(descriptor: int, content: bytes) -> None:
    with open(descriptor, "wb") as file:
        file.write(content)


def remove(path: bytes) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


@settings(max_examples=60, deadline=None)
@given(before=st.lists(STEPS, max_size=25), between=st.lists(STEPS, max_size=12))
def test_source_and_target_show_the_same(
    lower: Path, before: list[tuple[str, bytes, Any]], between: list[tuple[str, bytes, Any]]
) -> None:
    with tempfile.TemporaryDirectory() as place, box(lower) as source, box(lower) as target:
        path = Path(place, "files.tar.zst")
        for done in before:
            step(os.fsencode(source.root), *done)
        with copying(source, path, limit_bytes=1 << 30) as archive:
            archive.copy()
            for done in between:
                step(os.fsencode(source.root), *done)
            archive.copy()
        applied(path, [found.root for found in archive.sources], target)
        assert seen(target.root) == seen(source.root)


def led_out(root: bytes, where: bytes) -> bool:
    """Whether a link that the program made stands above the last name: to the test, which is
    outside, an absolute one leads to this machine's own files."""
    above = os.path.dirname(where)
    while above:
        if os.path.islink(os.path.join(root, above)):
            return True
        above = os.path.dirname(above)
    return False
