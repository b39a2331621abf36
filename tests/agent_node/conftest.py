"""The real agent process, its status read over HTTP."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

DEADLINE_SECONDS = 60.0
NEEDED = (
    "--node-name=node-1",
    "--release-namespace=chrek-system",
    "--signing-secret=chrek-signing",
    "--init-image=docker.io/chrek/init:0.1.0",
)
"""Flags without which no agent starts, but for --seccomp-dir."""

_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def wait_for(true: Callable[[], object], what: str) -> None:
    """Wait until something is true; the limit only ends a test that hangs."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not true():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


@dataclass
class Agent:
    """One `python -m agent`, its log in a file."""

    seccomp_dir: Path
    log_file: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def profile(self) -> Path:
        return self.seccomp_dir / "chrek" / "no-io-uring.json"

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self, *flags: str, prefix: tuple[str, ...] = ()) -> "Agent":
        command = [*prefix, sys.executable, "-m", "agent", *NEEDED]
        command += ["--seccomp-dir", str(self.seccomp_dir), "--status-port", "0", *flags]
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self.environment,
                start_new_session=True,
            )
        return self

    def says(self, *words: str) -> str:
        """The first line of its log with all these words, once there is one."""
        wait_for(lambda: self.lines(*words) or self.ended, f"{words}; {self.log}")
        assert self.lines(*words), self.log
        return self.lines(*words)[0]

    def lines(self, *words: str) -> list[str]:
        return [line for line in self.log.splitlines() if all(word in line for word in words)]

    @property
    def ended(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    @property
    def port(self) -> int:
        return int(self.says(" started ").rpartition("status_port=")[2])

    def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        try:
            with _open(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def status(self) -> Any:
        """The body of /readyz."""
        return json.loads(self.get("/readyz")[1])

    def prepared(self) -> bool:
        """Whether pods that name the profile can start; ready it is in a cluster only."""
        return bool(self.status()["seccompProfile"] == "installed")

    def ends(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code after a signal."""
        os.kill(self.pid, number)
        assert self.process is not None
        return self.process.wait(DEADLINE_SECONDS)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """Not yet started; it finds no cluster."""
    seccomp_dir = tmp_path / "seccomp"
    seccomp_dir.mkdir()
    made = Agent(seccomp_dir, tmp_path / "log", {"KUBECONFIG": str(tmp_path / "none")})
    yield made
    if made.process is not None:
        if made.process.poll() is None:
            made.process.kill()
        made.process.wait(DEADLINE_SECONDS)


@pytest.fixture
def hanging_bundle(tmp_path: Path) -> Path:
    """A CRIU bundle whose loader never ends, so that `criu check` does not."""
    made = tmp_path / "bundle"
    (made / "lib").mkdir(parents=True)
    (made / "VERSIONS").write_text("criu 4.2.1-1\n")
    loader = made / "lib" / "ld-linux-x86-64.so.2"
    loader.write_text("#!/bin/sh\nexec sleep 3600\n")
    loader.chmod(0o755)
    return made
