"""Containers on this machine, each test below a root directory of its own, nothing left."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent import settings
from agent.kernel import process
from agent.runtime.runc.containers import Containers
from agent.trust.keys import Keyring
from agent.trust.local import local

PROGRAMS = Path(__file__).parent / "programs"
PYTHON = "/usr/bin/python3"  # Debian's: any user may run it
PORT = 8000
DEADLINE_SECONDS = 60.0

_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Chrek:
    """The `chrek` command below one root."""

    root: Path
    environment: dict[str, str]

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "chrek.cli.main", "--root", str(self.root), *arguments]

    def __call__(self, *arguments: str, code: int = 0) -> Done:
        """Run one command, which must exit with `code`."""
        done = subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            timeout=120,
            env=self.environment,
            cwd="/",
            check=False,
        )
        assert done.returncode == code, f"{arguments} gave {done.returncode}:\n{done.stderr}"
        return Done(done.returncode, done.stdout, done.stderr)

    @property
    def keys(self) -> Keyring:
        """The keys of this root."""
        return local(self.root)

    def sign(self, checkpoint: Path) -> None:
        """Sign a checkpoint as it is now: what only the agent itself could do."""
        content = (checkpoint / "manifest.json").read_bytes()
        (checkpoint / "manifest.json.sig").write_bytes(self.keys.sign(content))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command without waiting for it."""
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd="/",
        )

    def run(self, name: str, *command: str, options: tuple[str, ...] = ()) -> None:
        """Start a container with the test programs at /programs, and wait until it is ready."""
        volume = f"{PROGRAMS}:/programs:ro"
        self("run", "--name", name, "--volume", volume, *options, "--", *command)

        def ready() -> bool:
            assert self.container(name)["state"] == "running", self.log(name)
            return "ready" in self.log(name)

        wait_for(ready, f"{name} to be ready")

    def log(self, name: str) -> str:
        return self("logs", name).out

    def container(self, name: str) -> dict[str, Any]:
        found = [entry for entry in self("ps", "--json").json if entry["name"] == name]
        assert found, f"no container {name}"
        return found[0]

    def init(self, name: str) -> int:
        """PID 1 of a container as the host counts."""
        return Containers(self.root).target(name).init

    def inside(self, name: str, path: str) -> Path:
        """A path of a running container."""
        return Path(f"/proc/{self.init(name)}/root") / path.lstrip("/")

    def get(self, name: str, path: str = "/") -> Any:
        """What the container's HTTP server says, once it answers."""
        address = self.container(name)["address"] or "127.0.0.1"
        return get(address, path)

    def exit_status(self, name: str) -> int:
        wait_for(lambda: self.container(name)["state"] == "exited", f"{name} to end")
        status = self.container(name)["status"]
        assert isinstance(status, int)
        return status


def get(address: str, path: str = "/") -> Any:
    """One answer of an HTTP server that may still be starting."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            with _open(f"http://{address}:{PORT}{path}", timeout=10) as answer:
                return json.loads(answer.read())
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def wait_for(true: Any, what: str) -> None:
    """Wait until `true()` holds."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not true():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> str | None:
    """The stand-in for CAP_SYS_RESOURCE, where it is missing (tests/shim/prlimit.c)."""
    held = int(
        next(
            line.split()[1]
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("CapEff:")
        ),
        16,
    )
    if held >> 24 & 1:
        return None
    source = Path(__file__).parents[1] / "shim" / "prlimit.c"
    # Seen from inside containers too, which a test's temporary directory on a tmpfs is not.
    place = Path(tempfile.mkdtemp(prefix="chrek-shim-", dir="/var/lib"))
    built = place / "prlimit.so"
    command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", built, source, "-ldl"]
    subprocess.run(command, check=True)
    place.chmod(0o755)
    return str(built)


@pytest.fixture(scope="session", autouse=True)
def _remove_shim(shim: str | None) -> Iterator[None]:
    yield
    if shim is not None:
        shutil.rmtree(Path(shim).parent)


@pytest.fixture
def chrek(shim: str | None) -> Iterator[Chrek]:
    """The command below a fresh root; afterwards nothing of the test is left on the machine."""
    if os.geteuid() != 0:
        pytest.skip("needs root: containers are made")
    # Not below /tmp: that may be a tmpfs, which an overlay's upper layer may be, but the
    # checkpoints are large.
    root = Path(tempfile.mkdtemp(prefix="chrek-test-", dir="/var/lib"))
    environment = dict(os.environ)
    if shim is not None:
        environment["CHREK_TEST_PRLIMIT_SHIM"] = shim
    made = Chrek(root, environment)
    try:
        yield made
        made("ls")  # tidies up after what the test killed
        left = leftovers(root)
    finally:
        containers = Containers(root)
        for container in containers.list():
            containers.stop(container.name, grace_seconds=2)
        mounted = [
            line for line in Path("/proc/mounts").read_text().splitlines() if str(root) in line
        ]
        shutil.rmtree(root, ignore_errors=True)
    assert not mounted
    assert not left
    wait_for(lambda: not processes_of(root), "the test's processes to end")


def leftovers(root: Path) -> list[str]:
    """Staging, scratch and operation records that nobody owns any more."""
    left = [str(path) for path in root.glob("checkpoints/*/*/.*")]
    left += [str(path) for path in root.glob("operations/*.json")]
    scratch = settings.from_environment(root).scratch
    left += [str(path) for path in scratch.glob(f"{settings.mark(root)}-*")]
    return left


def processes_of(root: Path) -> list[int]:
    """Processes whose command line names `root` (shims, runc, inside processes)."""
    found: list[int] = []
    for pid in process.all_pids():
        try:
            if os.fsencode(root) in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found
