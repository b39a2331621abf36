"""Programs on a real GPU, in containers of one machine; and a table of what was measured."""

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.cuda import known
from agent.kernel import process
from agent.runtime.runc.containers import Containers

PROGRAMS = Path(__file__).parent / "programs"
_CHECKOUT = Path(__file__).parents[2]
# The one that has torch; chrek itself may run under another.
PYTHON = os.environ.get("CHREK_GPU_PYTHON") or "python3"
GIB = 1 << 30
_PASSED = ("PATH", "LD_LIBRARY_PATH", "HOME")
_BUFFER_SECONDS = 90.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not known.driver_version():
        skip = pytest.mark.skip(reason="no NVIDIA driver on this machine: nothing was tried")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(skip)


@dataclass
class Done:
    """How a command ended. json: what it printed with --json."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Served:
    """A program in a container, which serves on `port`. cold_seconds: until it did."""

    box: "Box"
    name: str
    port: int
    cold_seconds: float

    def get(self, path: str = "/", seconds: float = _BUFFER_SECONDS) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def many(self, path: str, count: int) -> tuple[set[str], float]:
        """`count` requests over one connection: the different answers, and the seconds."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_BUFFER_SECONDS)
        answers: set[str] = set()
        began = time.monotonic()
        for _ in range(count):
            connection.request("GET", path)
            answers.add(connection.getresponse().read().decode())
        connection.close()
        return answers, time.monotonic() - began

    def wait(self, seconds: float = 240.0) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.get("/health", 5.0)
            except (OSError, http.client.HTTPException):
                state = self.box.containers.describe(self.name).state
                log = self.box.log(self.name)
                assert state in ("running", "starting"), f"{self.name} is {state}: {log[-2000:]}"
                assert time.monotonic() < deadline, f"{self.name} does not serve: {log[-2000:]}"
                time.sleep(0.02)
            else:
                return

    def processes(self) -> list[process.Process]:
        return process.in_pid_namespace(self.box.containers.target(self.name).init)

    def stop(self) -> None:
        self.box("stop", self.name, "--time", "3")


@dataclass
class Box:
    """The `chrek` command below a root of its own."""

    root: Path
    containers: Containers
    out: Path
    served: list[str] = field(default_factory=list)
    ports: Iterator[int] = field(default_factory=lambda: iter(range(9200, 9400, 2)))

    def __call__(self, *words: str, code: int | None = 0, seconds: float = 400.0) -> Done:
        began = time.monotonic()
        command = [sys.executable, "-m", "chrek.cli.main", "-v", "--root", str(self.root), *words]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, cwd="/", check=False
        )
        made = Done(done.returncode, done.stdout, done.stderr, time.monotonic() - began)
        text = f"$ chrek {' '.join(words)}\n{made.out}{made.err}"
        with (self.out / "commands.log").open("a") as log:
            log.write(text.replace(str(_CHECKOUT), "CHECKOUT"))
            log.write(f"-> {made.code}, {made.seconds:.2f} s\n")
        assert code is None or made.code == code, f"{words} gave {made.code}: {made.err}"
        return made

    def log(self, name: str) -> str:
        return self.containers.places(name).log.read_text(errors="replace")

    def run(
        self,
        name: str,
        program: str,
        *arguments: str,
        options: tuple[str, ...] = (),
        gpus: str = "all",
    ) -> Served:
        """Start a program of tests/gpu/programs and wait until it serves."""
        port = next(self.ports)
        words = ["run", "--name", name, "--net", "host", "--gpus", gpus, "--cwd", "/"]
        for variable in _PASSED:
            words += ["--env", variable] if variable in os.environ else []
        words += ["--volume", f"{PROGRAMS}:{PROGRAMS}:ro", *options]
        began = time.monotonic()
        python = shutil.which(PYTHON)
        assert python is not None
        self(*words, "--", python, str(PROGRAMS / program), str(port), *arguments)
        made = Served(self, name, port, 0.0)
        made.wait()
        made.cold_seconds = time.monotonic() - began
        return made

    def checkpoint(self, source: Served, identifier: str) -> dict[str, Any]:
        """Its summary; `seconds` is the whole command's."""
        done = self("checkpoint", source.name, "--as", identifier, "--json")
        return {**done.json, "seconds": done.seconds}

    def restore(
        self, identifier: str, source: Served, name: str, *options: str
    ) -> tuple[Served, dict[str, Any]]:
        done = self("restore", identifier, "--name", name, "--json", *options)
        (result,) = done.json
        assert result["restored"], result
        return Served(self, name, source.port, 0.0), {**result, "seconds": done.seconds}

    def manifest(self, identifier: str) -> dict[str, Any]:
        (variant,) = (self.root / "checkpoints/default" / identifier).iterdir()
        return json.loads((variant / "manifest.json").read_text())  # type: ignore[no-any-return]

    def remove(self, identifier: str) -> None:
        self("rm", identifier)


@dataclass
class Figures:
    """What was measured, a row each; printed, and written as JSON, as soon as it is known."""

    out: Path
    rows: list[dict[str, Any]] = field(default_factory=list)

    def note(self, what: str, **found: Any) -> None:
        row = {"what": what, **found}
        self.rows.append(row)
        (self.out / "figures.json").write_text(json.dumps(self.rows, indent=1) + "\n")
        shown = ", ".join(
            f"{key.replace('_', ' ')} {_shown(value)}" for key, value in found.items()
        )
        with (self.out / "figures.txt").open("a") as file:
            file.write(f"{what}: {shown}\n")
        sys.__stdout__.write(f"\n{what}: {shown}\n")  # type: ignore[union-attr]
        sys.__stdout__.flush()  # type: ignore[union-attr]


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_shown(each)}" for key, each in value.items()) + ")"
    return str(value)


@pytest.fixture(scope="session")
def out() -> Path:
    """Where figures and raw output go: $OUT, or a new directory that is named at the end."""
    place = os.environ.get("OUT") or tempfile.mkdtemp(prefix="chrek-gpu-")
    Path(place).mkdir(parents=True, exist_ok=True)
    return Path(place)


@pytest.fixture(scope="session")
def figures(out: Path) -> Figures:
    made = Figures(out)
    query = "name,driver_version,memory.total"
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    with contextlib.suppress(OSError):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        made.note(
            "machine", gpus=done.stdout.strip(), kernel=os.uname().release, cores=os.cpu_count()
        )
    return made


@pytest.fixture(scope="session")
def box(out: Path) -> Iterator[Box]:
    root = Path(tempfile.mkdtemp(prefix="chrek-gpu-", dir="/var/lib"))
    made = Box(root, Containers(root), out)
    yield made
    subprocess.run(["rm", "-rf", str(root)], check=False)


@pytest.fixture(autouse=True)
def _left_clean(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "box" not in request.fixturenames:
        return
    box: Box = request.getfixturevalue("box")
    for container in box.containers.list():
        box.containers.stop(container.name, grace_seconds=0)
    for checkpoint in (box.root / "checkpoints/default").glob("[!.]*"):
        box("rm", checkpoint.name, code=None)


@contextlib.contextmanager
def knocking(port: int) -> Iterator[list[float]]:
    """Asks /health all the while; the times (monotonic) at which it was answered."""
    answered: list[float] = []
    over = threading.Event()

    def knock() -> None:
        while not over.is_set():
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                connection.request("GET", "/health")
                connection.getresponse().read()
                answered.append(time.monotonic())
            except (OSError, http.client.HTTPException):
                time.sleep(0.002)

    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    try:
        yield answered
    finally:
        over.set()
        thread.join(70)
