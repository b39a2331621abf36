"""chrek-init install, version, ready, and what it answers to bad usage."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import SOURCE, User


def chrek_init(user: User, built: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*user.command, built / "chrek-init", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def reaper_name(built: Path) -> str:
    return "reaper-" + hashlib.sha256((built / "chrek-reaper").read_bytes()).hexdigest()[:16]


def test_install_puts_both_programs_where_it_is_told(user: User, built: Path, top: Path) -> None:
    done = chrek_init(user, built, "install", top / "chrek")
    assert (done.returncode, done.stderr) == (0, "")
    files = {p.name: p for p in (top / "chrek").iterdir()}
    assert set(files) == {"chrek-init", reaper_name(built)}
    assert {oct(p.stat().st_mode & 0o7777) for p in files.values()} == {"0o755"}
    assert files["chrek-init"].read_bytes() == (built / "chrek-init").read_bytes()
    assert files[reaper_name(built)].read_bytes() == (built / "chrek-reaper").read_bytes()


def test_install_again_mends_what_is_there(user: User, built: Path, top: Path) -> None:
    chrek_init(user, built, "install", top / "chrek")
    (top / "chrek" / reaper_name(built)).write_bytes(b"damaged")
    assert chrek_init(user, built, "install", top / "chrek").returncode == 0
    assert {p.name for p in (top / "chrek").iterdir()} == {"chrek-init", reaper_name(built)}
    mended = (top / "chrek" / reaper_name(built)).read_bytes()
    assert mended == (built / "chrek-reaper").read_bytes()


def test_install_keeps_its_modes_under_any_umask(user: User, built: Path, top: Path) -> None:
    program = built / "chrek-init"
    shell = ["sh", "-c", 'umask 0777; exec "$0" install "$1"', program, top / "chrek"]
    subprocess.run([*user.command, *shell], check=True)
    assert {p.stat().st_mode & 0o7777 for p in (top / "chrek").iterdir()} == {0o755}


@pytest.mark.parametrize("where", ["/nowhere/at/all", "/proc", "/etc/passwd"])
def test_install_says_in_one_sentence_why_it_cannot(user: User, built: Path, where: str) -> None:
    done = chrek_init(user, built, "install", where)
    assert done.returncode == 1
    assert done.stderr.startswith(f"chrek-init: cannot install into {where}: ")
    assert done.stderr.count("\n") == 1
    assert "No error" not in done.stderr
    assert "Bad file" not in done.stderr


def test_install_leaves_nothing_half_written(user: User, built: Path, top: Path) -> None:
    (top / "chrek" / "chrek-init").mkdir()
    assert chrek_init(user, built, "install", top / "chrek").returncode == 1
    assert {p.name for p in (top / "chrek").iterdir()} <= {"chrek-init", reaper_name(built)}


def test_version_names_the_reaper_by_its_bytes(user: User, built: Path) -> None:
    done = chrek_init(user, built, "version")
    assert done.stdout == f"chrek-init 0.1.0 {reaper_name(built)}\n"
    assert done.returncode == 0


def test_a_build_elsewhere_gives_the_same_bytes(built: Path, tmp_path: Path) -> None:
    for name in ("chrek-init.c", "chrek-reaper.c", "Makefile"):
        shutil.copy(SOURCE / name, tmp_path)
    subprocess.run(["make", "-s", "-C", tmp_path], check=True)
    for name in ("chrek-init", "chrek-reaper"):
        assert (tmp_path / "build" / name).read_bytes() == (built / name).read_bytes()


def test_the_programs_need_no_library(built: Path) -> None:
    for name in ("chrek-init", "chrek-reaper"):
        headers = subprocess.check_output(["readelf", "-l", built / name], text=True)
        assert "LOAD" in headers
        assert "INTERP" not in headers


def test_ready_tells_whether_the_mark_is_there(user: User, built: Path, top: Path) -> None:
    assert chrek_init(user, built, "ready", "--dir", top / "chrek").returncode == 1
    (top / "chrek" / "ready").touch()
    assert chrek_init(user, built, "ready", "--dir", top / "chrek").returncode == 0
    assert chrek_init(user, built, "ready", "--dir", top / "gone").returncode == 1


@pytest.mark.parametrize(
    "words",
    [
        "", "help", "install", "install /tmp /tmp", "version now", "ready now", "ready --dir",
        "ready --timeout 1", "ready --", "wait", "wait --", "wait true", "wait --dir",
        "wait --timeout -- true", "wait --timeout -1 -- true", "wait --timeout 1e3 -- true",
        "wait --timeout inf -- true", "wait --timeout nan -- true", "wait --timeout 0x1 -- true",
        "wait --timeout 1s -- true", "wait --timeout . -- true", "wait --timeout 1.2.3 -- true",
        "wait --timeout 99999999999 -- true", "wait --timeout=1 -- true", "wait --colour -- true",
    ],
)  # fmt: skip
def test_bad_usage_is_refused_with_a_sentence(built: Path, words: str) -> None:
    done = chrek_init(User(0), built, *words.split())
    assert done.returncode == 2
    assert done.stderr.startswith("chrek-init: cannot understand: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_an_empty_timeout_is_refused(built: Path) -> None:
    assert chrek_init(User(0), built, "wait", "--timeout", "", "--", "true").returncode == 2
