"""chrek-init as PID 1 of real PID namespaces, watched and spoken to from the host."""

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "agent" / "init"
PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin")  # one that uid 1000 can reach

# A shell's background job (`make test &`, nohup) begins with these ignored, and so would what the
# tests start.
for _number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)


def wait_until(true: Callable[[], object], what: str, seconds: float = 30) -> None:
    """Wait for something to become true; the limit only ends a test that hangs."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.01)


def read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


@dataclass
class Process:
    """A process, by its host PID."""

    pid: int

    @property
    def comm(self) -> str:
        return read(Path(f"/proc/{self.pid}/comm")).strip()

    @property
    def command(self) -> list[str]:
        return read(Path(f"/proc/{self.pid}/cmdline")).split("\0")[:-1]

    @property
    def state(self) -> str:
        """One letter, or nothing when it is gone."""
        return (self._stat() or [""])[0]

    @property
    def ended(self) -> bool:
        return self.state in ("", "Z")

    @property
    def cpu_ticks(self) -> int:
        return sum(int(number) for number in self._stat()[11:13])

    @property
    def pid_inside(self) -> int:
        status = read(Path(f"/proc/{self.pid}/status"))
        return next(int(x.split()[-1]) for x in status.splitlines() if x.startswith("NSpid:"))

    @property
    def children(self) -> list["Process"]:
        listed = read(Path(f"/proc/{self.pid}/task/{self.pid}/children"))
        return [Process(int(pid)) for pid in listed.split()]

    @property
    def offspring(self) -> list["Process"]:
        return [p for child in self.children for p in (child, *child.offspring)]

    def kill(self, sig: int = signal.SIGKILL) -> None:
        os.kill(self.pid, sig)

    def _stat(self) -> list[str]:
        return read(Path(f"/proc/{self.pid}/stat")).rpartition(")")[2].split()


@dataclass
class User:
    uid: int

    @property
    def command(self) -> list[str]:
        """What makes the next program run as this user; uid 1000 holds no capability."""
        if self.uid == 0:
            return []
        ids = [f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups"]
        caps = ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
        return ["setpriv", *ids, *caps]


@dataclass
class Container:
    """One `chrek-init wait` in a PID namespace of its own."""

    user: User
    top: Path
    unshare: subprocess.Popen[bytes] | None = None

    @property
    def dir(self) -> Path:
        return self.top / "chrek"

    @property
    def work(self) -> Path:
        return self.top / "work"

    @property
    def stdout(self) -> str:
        return read(self.top / "stdout")

    @property
    def stderr(self) -> str:
        return read(self.top / "stderr")

    @property
    def init(self) -> Process:
        assert self.unshare
        child = Process(self.unshare.pid).children
        return child[0] if child else Process(0)

    @property
    def reaper(self) -> Process:
        def found() -> list[Process]:  # it has that name from its exec on
            return [p for p in self.init.children if p.comm == "chrek-reaper"]

        wait_until(found, "the reaper")
        return found()[0]

    def start(
        self,
        *command: str,
        timeout: float | str = 600,
        prefix: tuple[str, ...] = (),
        init: Path | None = None,
        directory: Path | str | None = None,
        keep: tuple[int, ...] = (),
    ) -> "Container":
        with (self.top / "stdout").open("ab") as out, (self.top / "stderr").open("ab") as err:
            self.unshare = subprocess.Popen(
                ["unshare", "--pid", "--fork", "--mount-proc", *self.user.command, *prefix,
                 init or self.dir / "chrek-init", "wait", "--dir", directory or self.dir,
                 "--timeout", str(timeout), "--", *command],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=self.work, pass_fds=keep,
            )  # fmt: skip
        return self

    def begun(self) -> "Container":
        self.comes_to("waiting")
        self.say("begin")
        return self.comes_to("restoring")

    def comes_to(self, state: str) -> "Container":
        wait_until(lambda: self.init.comm == f"chrek:{state}", f"chrek:{state}; {self.stderr}")
        return self

    def say(self, *lines: str) -> None:
        self.write("".join(f"{line}\n" for line in lines).encode())

    def write(self, words: bytes) -> None:
        fifo = os.open(self.dir / "ctl", os.O_WRONLY | os.O_NONBLOCK)
        try:
            assert os.write(fifo, words) == len(words)
        finally:
            os.close(fifo)

    def exit_code(self) -> int:
        assert self.unshare
        return self.unshare.wait(60)

    def ends_if_stopped_by(self, sig: int) -> int:
        self.init.kill(sig)
        return self.exit_code()

    def plant(self, script: str, user: User | None = None) -> Process:
        """Start a shell from outside that becomes a child of PID 1, as CRIU's tasks do."""
        before = {p.pid for p in self.init.children}
        inner = 'sh -c "$0" </dev/null >/dev/null 2>&1 &'
        subprocess.run(
            ["nsenter", "--target", str(self.init.pid), "--pid", "--", *(user or self.user).command,
             "sh", "-c", inner, script], check=True, cwd=self.work,
        )  # fmt: skip
        wait_until(lambda: {p.pid for p in self.init.children} - before, "the planted process")
        return next(p for p in self.init.children if p.pid not in before)

    def end(self) -> None:
        if self.unshare and self.unshare.poll() is None:
            if self.init.pid:
                self.init.kill()  # and the kernel ends all else in the namespace
            self.unshare.wait(60)


@pytest.fixture(scope="session", autouse=True)
def _no_signal_is_ignored() -> None:
    """What glibc's posix_spawn starts, and so all that make starts, ignores signal 32. Python
    cannot undo that, and the programs under test would inherit it."""
    rt_sigaction = {"x86_64": 13, "aarch64": 134}[os.uname().machine]
    default = (ctypes.c_uint64 * 4)()  # handler, flags, restorer, mask
    libc = ctypes.CDLL(None, use_errno=True)
    for internal in (32, 33):
        assert libc.syscall(rt_sigaction, internal, default, None, ctypes.c_size_t(8)) == 0


@pytest.fixture(scope="session")
def built() -> Path:
    """The directory that holds the built programs."""
    subprocess.run(["make", "-s", "-C", SOURCE], check=True)
    return SOURCE / "build"


@pytest.fixture(params=[0, 1000], ids=["root", "uid1000"])
def user(request: pytest.FixtureRequest) -> User:
    if os.geteuid():
        pytest.skip("needs root: makes PID namespaces and changes the user")
    return User(request.param)


@pytest.fixture
def top(user: User) -> Iterator[Path]:
    """A directory that the user can reach (pytest's own cannot be entered by uid 1000)."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="chrek-init-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        for child in ("chrek", "work"):
            (directory / child).mkdir()
            os.chown(directory / child, user.uid, user.uid)
        yield directory


@pytest.fixture
def container(user: User, top: Path, built: Path) -> Iterator[Container]:
    """Not yet started; chrek-init is installed in its directory."""
    subprocess.run([*user.command, built / "chrek-init", "install", top / "chrek"], check=True)
    made = Container(user, top)
    yield made
    made.end()
