"""mountinfo is read as the kernel writes it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.kernel import mounts

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")


def test_a_line_of_proc_5_is_read() -> None:
    line = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2"
    line += " - ext3 /dev/root rw,errors=continue"
    found = mounts.parse(line)
    assert (found.id, found.parent_id, found.device) == (36, 35, "98:0")
    assert (found.root, found.point) == ("/mnt1", "/mnt2")
    assert found.options == {"rw", "noatime"}
    assert (found.filesystem, found.source) == ("ext3", "/dev/root")
    assert found.super_option("errors") == "continue"
    assert found.super_option("rw") == ""
    assert found.super_option("error") is None


def test_escapes_are_undone() -> None:
    line = r"1 2 0:3 /a\040b /c\011\012\134d rw - tmpfs so\040urce rw"
    found = mounts.parse(line)
    assert (found.root, found.point, found.source) == ("/a b", "/c\t\n\\d", "so urce")


def test_a_mount_without_a_source_is_read() -> None:
    assert mounts.parse("1 2 0:3 / /x rw - tmpfs  rw,size=1k").super_option("size") == "1k"


@pytest.mark.parametrize(
    ("shown", "path"),
    [
        (r"/plain", "/plain"),
        (r"/a\054b\040c", "/a,b c"),  # Linux 6.5 and newer
        (r"/a\,b\:c", "/a,b:c"),  # older: as mount was told
        (r"/a:b", "/a:b"),
        (r"/a\134\054b\134\072c", "/a,b:c"),  # older, and escaped once more
    ],
)
def test_the_upper_directory_of_an_overlay_may_hold_commas_and_colons(
    shown: str, path: str
) -> None:
    line = f"1 2 0:3 / / rw - overlay overlay rw,lowerdir=/l,upperdir={shown},workdir=/w"
    found = mounts.parse(line)
    assert found.super_option("upperdir") == path
    assert found.super_option("workdir") == "/w"


_OVERLAY = """
import os, sys
sys.path.insert(0, sys.argv[1])
from agent.kernel import calls, mounts
os.chdir(sys.argv[2])
calls.mount("none", "/", "", 0x44000, "")
escaped = sys.argv[3].replace("\\\\", "\\\\\\\\").replace(",", "\\\\,").replace(":", "\\\\:")
calls.mount("none", "m", "overlay", 0, f"lowerdir=l,upperdir={escaped},workdir=w")
found = mounts.at(mounts.of("self"), os.path.realpath("m"))
upper = found.super_option("upperdir")
sys.stdout.buffer.write(os.fsencode(os.path.abspath(upper)))
"""


@needs_root
@pytest.mark.parametrize("name", ["u", "a,b", "a:b", "a b", "a=b", "a\nb", "a\udcffb", "é,:\u2028"])
def test_a_real_overlay_names_its_upper_directory(tmp_path: Path, name: str) -> None:
    for directory in ("l", "w", "m", name):
        (tmp_path / directory).mkdir()
    script = [sys.executable, "-c", _OVERLAY, str(Path(__file__).parents[2]), str(tmp_path), name]
    done = subprocess.run(["unshare", "--mount", *script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == os.fsencode(tmp_path / name)


def test_the_mounts_of_this_process_have_a_root_and_proc() -> None:
    found = mounts.of("self")
    top, proc = mounts.at(found, "/"), mounts.at(found, "/proc")
    assert top is not None
    assert proc is not None
    assert proc.filesystem == "proc"
    assert mounts.at(found, "/nowhere") is None


def test_of_two_mounts_at_a_point_the_later_is_seen() -> None:
    lines = [f"{number} 1 0:{number} / /x rw - tmpfs t rw" for number in (5, 4)]
    found = mounts.at([mounts.parse(line) for line in lines], "/x")
    assert found is not None
    assert found.id == 4
