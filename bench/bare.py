"""Bare CRIU: the bundle's own, in a PID and mount namespace with the service, with the options
that chrek uses (agent/criu/rpc.py), no container around it."""

import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from agent.criu import images, log
from agent.criu.bundle import Bundle
from bench import commands
from bench.failures import SideFailedError, UnavailableError
from bench.side import Checkpointed, Restored
from bench.workload import Workload
from chrek.ids import HostPID

_OPTIONS = (
    "--tcp-close",
    "--skip-in-flight",
    "--file-locks",
    "--link-remap",
    "--ghost-limit=512M",
    "--manage-cgroups=ignore",
    "--network-lock=skip",
    "-v3",
)
# PID 1: reaps whatever ends.
_INIT = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); print(flush=True)\n"
_INIT += "while True: signal.pause()"
# Standard streams are opened inside: CRIU does not find a file of another mount namespace.
_START = 'log=$1; shift; setsid "$@" </dev/null >"$log" 2>&1 & echo $!'
_KILL = 'kill -KILL "$1" 2>/dev/null; while kill -0 "$1" 2>/dev/null; do sleep 0.01; done'


class Bare:
    """One namespace for the whole run, so that CRIU's cache of kernel features is warm.

    pid: the service's in it; init: of the namespace's PID 1, as this machine counts.
    checkpoints: the directory that they are written to.
    """

    name = "criu"

    def __init__(self, work: Path, bundle: Bundle) -> None:
        self.version = bundle.criu_version
        self._bundle = bundle
        self.checkpoints = work / "criu"
        self._log = work / "criu-service.log"
        self.pid: str | None = None
        self._unshare = _namespace()
        try:
            self.init = _first_child(self._unshare.pid)
            self._enter = ["nsenter", f"--target={self.init}"]
            self._enter += ["--pid", "--mount", "--"]
            # CRIU keeps that cache in /run; this one is nobody else's.
            self._inside("mount", "-t", "tmpfs", "run", "/run")
            with suppress(SideFailedError):  # it warns of what is not needed here
                self._inside(*bundle.command(), "check")
        except BaseException:
            self.close()
            raise

    def start(self, workload: Workload) -> None:
        """Start the service as a session of its own."""
        self.checkpoints.mkdir()
        words = ("sh", "-c", _START, "sh", str(self._log), *workload.argv)
        self.pid = self._inside(*words).strip()

    def checkpoint(self) -> Checkpointed:
        """`criu dump --leave-running`."""
        assert self.pid is not None
        seconds = self._criu("dump", "--tree", self.pid, "--leave-running")
        measured = images.statistics(self._bundle, (self.checkpoints / "stats-dump").read_bytes())
        phases = {"freezing": measured.freezing_seconds, "frozen": measured.frozen_seconds}
        return Checkpointed(seconds, sum(phases.values()), phases)

    def end_source(self) -> None:
        """Kill it and see it gone."""
        if self.pid is not None:
            self._inside("sh", "-c", _KILL, "sh", self.pid)

    def restore(self) -> Restored:
        """`criu restore --restore-detached`: it comes back under the PID it had."""
        seconds = self._criu("restore", "--restore-detached")
        return Restored(seconds, {"criu": seconds})

    def end_restored(self) -> None:
        """It has the PID of the source."""
        self.end_source()

    def discard(self) -> None:
        """End the service and delete the images."""
        self.end_source()
        self.pid = None
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def log(self) -> str:
        """What the service printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def close(self) -> None:
        """The namespace takes every process in it along."""
        self._unshare.kill()
        self._unshare.communicate()
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def _inside(self, *argv: str) -> str:
        return commands.output([*self._enter, *argv])

    def _criu(self, verb: str, *more: str) -> float:
        name, directory = f"{verb}.log", str(self.checkpoints)
        words = [*self._bundle.command(), verb, "--images-dir", directory, "-o", name]
        try:
            seconds, _ = commands.timed([*self._enter, *words, *_OPTIONS, *more])
        except SideFailedError as error:
            raise SideFailedError(log.told(str(error), self.checkpoints / name)) from error
        return seconds


def _namespace() -> subprocess.Popen[str]:
    words = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--mount-proc"]
    words += ["--propagation=private", sys.executable, "-I", "-S", "-c", _INIT]
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise UnavailableError("unshare is not installed") from error
    assert process.stdout is not None
    if not process.stdout.readline():
        raise UnavailableError(f"no namespace could be made: {process.communicate()[1].strip()}")
    return process


def _first_child(pid: int) -> HostPID:
    return HostPID(int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]))
