"""System calls that Python lacks: what they promise, the kernel keeps."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.kernel import calls

WITHIN = calls.RESOLVE_BENEATH | calls.RESOLVE_NO_SYMLINKS


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[int]:
    """A descriptor of a directory; what is beside it is out of bounds."""
    home = tmp_path / "home"
    (home / "deep/deeper").mkdir(parents=True)
    (home / "file").write_text("inside")
    (home / "deep/file").write_text("deep inside")
    (home / "link").symlink_to("file")
    (home / "around").symlink_to("deep")
    (home / "out").symlink_to(tmp_path)
    (tmp_path / "secret").write_text("outside")
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def opened(directory: int, path: str, resolve: int = WITHIN) -> str:
    descriptor = calls.openat2(directory, path, os.O_RDONLY, resolve=resolve)
    assert not os.get_inheritable(descriptor)
    with open(descriptor) as file:  # noqa: PTH123 - a descriptor
        return file.read()


def test_openat2_opens_what_is_beneath(inside: int) -> None:
    assert opened(inside, "file") == "inside"
    assert opened(inside, "deep/file") == "deep inside"
    assert opened(inside, "deep/../file") == "inside"
    assert opened(inside, "link", calls.RESOLVE_BENEATH) == "inside"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        *(("../secret", errno.EXDEV), ("/etc/passwd", errno.EXDEV)),
        *(("deep/../../secret", errno.EXDEV), ("link", errno.ELOOP), ("around/file", errno.ELOOP)),
        *(("out/secret", errno.ELOOP), ("nowhere", errno.ENOENT), ("file/x", errno.ENOTDIR)),
    ],
)
def test_openat2_goes_nowhere_else(inside: int, path: str, code: int) -> None:
    with pytest.raises(OSError, match="openat2") as caught:
        opened(inside, path)
    assert caught.value.errno == code


def test_openat2_does_not_cross_a_mount() -> None:
    top = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        calls_within = WITHIN | calls.RESOLVE_NO_XDEV
        with pytest.raises(OSError, match="openat2") as caught:
            calls.openat2(top, "proc/version", os.O_RDONLY, resolve=calls_within)
        assert caught.value.errno == errno.EXDEV
        assert "Linux" in opened(top, "proc/version")
    finally:
        os.close(top)


def test_renameat2_exchanges(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"of {name}").write_text("")
    calls.renameat2(str(tmp_path / "a"), str(tmp_path / "b"), calls.RENAME_EXCHANGE)
    assert (tmp_path / "a/of b").exists()
    assert (tmp_path / "b/of a").exists()


def test_a_failing_call_names_itself_and_the_reason(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="renameat2: No such file"):
        calls.renameat2(str(tmp_path / "a"), str(tmp_path / "b"), 0)
    with pytest.raises(OSError, match="umount2"):
        calls.umount2(str(tmp_path), 0)
    with pytest.raises(OSError, match="fsopen"):
        calls.fsopen(b"no-such-file-system")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_a_detached_file_system_is_reached_by_its_descriptor_only() -> None:
    attributes = calls.MOUNT_ATTR_NOSUID | calls.MOUNT_ATTR_NODEV | calls.MOUNT_ATTR_NOEXEC
    made = calls.new_detached(b"tmpfs", attributes)
    try:
        os.mkdir("directory", dir_fd=made)
        assert Path(f"/proc/self/fd/{made}/directory").is_dir()
        tree = calls.open_tree(made, b".", calls.OPEN_TREE_CLONE | calls.OPEN_TREE_CLOEXEC)
        calls.mount_setattr(tree, calls.MOUNT_ATTR_RDONLY)
        with pytest.raises(OSError, match="Read-only"):
            os.mkdir("another", dir_fd=tree)
        os.close(tree)
        device = os.fstat(made).st_dev
        rows = Path("/proc/self/mountinfo").read_text().splitlines()
        mounted = {row.split()[2] for row in rows}
        assert f"{os.major(device)}:{os.minor(device)}" not in mounted
    finally:
        os.close(made)
