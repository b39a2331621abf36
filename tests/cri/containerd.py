"""A containerd of the tests' own, that leaves nothing."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from . import image

MISSING = [name for name in ("containerd", "ctr", "runc", "gcc") if not shutil.which(name)]
CGROUPS = Path("/sys/fs/cgroup")
PATIENCE_SECONDS = 60.0

_TOML = """\
version = 2
root = "{home}/root"
state = "{home}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  # Not every machine lets the adjustment be lowered.
  restrict_oom_score_adj = true
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = "{home}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


@dataclass
class Containerd:
    """containerd in a mount namespace of its own. cgroup: where its pods are to be."""

    home: Path
    cgroup: str = field(default_factory=lambda: f"/chrek-test-{uuid.uuid4().hex[:8]}")
    digest: str = ""
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def socket(self) -> Path:
        return self.home / "c.sock"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = self.home / "containerd.toml"
        settings.write_text(_TOML.format(home=self.home, socket=self.socket, image=image.NAME))
        log = (self.home / "containerd.log").open("ab")
        # --propagation private: what it mounts is nobody else's, and ends with the last of it.
        command = ["unshare", "--mount", "--propagation", "private", "--"]
        command += ["containerd", "--config", str(settings)]
        with log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )
        self._wait_until_it_answers()

    def stop(self) -> None:
        """End containerd alone; containers run on."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def pull(self) -> None:
        """Have the test image in it."""
        archive, self.digest = image.make(self.home)
        command = ["ctr", "--address", str(self.socket), "--namespace", "k8s.io"]
        command += ["images", "import", str(archive)]
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_SECONDS)

    def end(self) -> None:
        """End it with all that it started."""
        if self.process:
            self.process.kill()
            self.process.wait()
        # Containers first: a shim that ends before them leaves them to PID 1.
        for pid in self._contained():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in self._shims():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._contained() and time.monotonic() < deadline:
            time.sleep(0.05)
        for hierarchy in _hierarchies():
            for folder, _, _ in os.walk(hierarchy / self.cgroup.strip("/"), topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()

    def _contained(self) -> list[int]:
        return [
            int(line)
            for hierarchy in _hierarchies()
            for procs in hierarchy.glob(f"{self.cgroup.strip('/')}/**/cgroup.procs")
            for line in procs.read_text().split()
        ]

    def _shims(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_text() if entry.name.isdigit() else ""
                if "containerd-shim" in words and str(self.socket) in words:
                    found.append(int(entry.name))
        return found

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        command = ["ctr", "--address", str(self.socket), "version"]
        while subprocess.run(command, capture_output=True, check=False).returncode:
            log = (self.home / "containerd.log").read_text()
            assert self.process
            assert self.process.poll() is None, log
            assert time.monotonic() < deadline, log
            time.sleep(0.1)


@contextlib.contextmanager
def running() -> Iterator[Containerd]:
    """containerd with the test image. A path of its own, short enough for a socket's."""
    home = Path(tempfile.mkdtemp(prefix="cri-", dir="/tmp"))
    containerd = Containerd(home)
    try:
        containerd.start()
        containerd.pull()
        yield containerd
    finally:
        containerd.end()
        shutil.rmtree(home)


def _hierarchies() -> list[Path]:
    """Where cgroups are: below every hierarchy of v1, or the one of v2."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()]
