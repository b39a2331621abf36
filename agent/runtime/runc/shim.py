"""One process per container: makes it, keeps its log, sees it end, takes everything away.

Started by containers.py as `python -m agent.runtime.runc.shim ROOT NAME`. Tells its starter one
JSON line on stdout: {} once the container runs, or {"error": ...}.
"""

import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

from agent.kernel import calls, process, tree
from agent.runtime.runc import network, spec
from agent.runtime.runc.places import Ended, Entry, Places, Started, boot_id
from chrek.errors import ChrekError, MachineError, RuntimeFailedError
from chrek.names import WAITED_MARK

_PR_SET_CHILD_SUBREAPER = 36
_MS_REC_SLAVE = 0x4000 | 0x80000
_CHUNK = 1 << 16
# chrek-init's word for "start me again": a fresh container, in which the next start is cold. The
# kubelet does the same for a pod; /chrek is kept, as an emptyDir is.
_AGAIN = 75
_ATTEMPTS = 2


def main(root: str, name: str) -> int:
    """Run container `name` to its end; 0 even if it fails: ended.json has its status."""
    places = Places(Path(root), name)
    lock = os.open(places.lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    status = _AGAIN
    for _ in range(_ATTEMPTS):
        with ExitStack() as stack:
            try:
                init, pipes = _start(places, stack)
            except ChrekError as error:
                _tell({"error": error.message, "hint": error.hint, "reason": error.reason})
                return 1
            _tell({})
            status = _follow(places, init, pipes)
        # An app may end with 75 too; only chrek-init leaves the mark as it does.
        if status != _AGAIN or not (places.chrek_dir / WAITED_MARK).exists():
            break
    tree.remove(places.chrek_dir)
    _write(places.ended, Ended(status=status, ended=time.time()))
    return 0


def _tell(word: dict[str, str]) -> None:
    # A starter that was killed does not listen; its container runs on, and starts cold.
    with suppress(BrokenPipeError):
        os.write(1, json.dumps(word).encode() + b"\n")
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 1)  # the starter reads to the end of the pipe
    os.close(null)


def _write(path: Path, value: msgspec.Struct) -> None:
    beside = path.with_suffix(".tmp")
    beside.write_bytes(msgspec.json.encode(value))
    beside.rename(path)


def _start(places: Places, stack: ExitStack) -> tuple[int, list[int]]:
    entry = msgspec.json.decode(places.entry.read_bytes(), type=Entry)
    calls.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    stack.callback(_remove_files, places)
    places.hosts.write_text(_hosts(entry, None))
    _mount_root(places)
    reader, writers = _make_pipes()
    configuration = spec.configuration(
        entry.spec,
        argv=entry.init_argv,
        hostname=entry.hostname,
        cgroup=f"/chrek/{places.container}",
        chrek_dir=str(places.chrek_dir),
        hosts=str(places.hosts),
    )
    (places.bundle / "config.json").write_text(json.dumps(configuration))
    stack.callback(_runc, places, "delete", "--force", places.container, check=False)
    init = _create(places, writers)
    for writer in writers:
        os.close(writer)
    address: str | None = None
    if entry.spec.network == "private":
        lease = network.connect(init)
        stack.callback(network.release, lease)
        address = str(lease.address.ip)
        places.hosts.write_text(_hosts(entry, address))
    _runc(places, "start", places.container)
    ticks = process.start_ticks(init)
    if ticks is None:
        raise RuntimeFailedError("the container ended at once", hint=f"See {places.log}")
    _write(
        places.started,
        Started(init, ticks, os.getpid(), time.time(), address, entry.hostname, boot_id()),
    )
    return init, reader


def _mount_root(places: Places) -> None:
    """An overlay of the host's root, in a mount namespace of our own that ends with us."""
    for directory in (places.upper, places.work, places.bundle / "rootfs"):
        directory.mkdir(parents=True, exist_ok=True)
    calls.unshare(calls.CLONE_NEWNS)
    calls.mount("none", "/", "", _MS_REC_SLAVE, "")  # the host can unmount its disks
    options = f"lowerdir=/,upperdir={places.upper},workdir={places.work}"
    try:
        calls.mount("overlay", str(places.bundle / "rootfs"), "overlay", 0, options)
    except OSError as error:
        raise MachineError(
            f"an overlay of the host's root cannot be mounted: {error.strerror}",
            hint="Choose a --root on a file system such as ext4 or xfs; see `chrek check`",
        ) from error


def _hosts(entry: Entry, address: str | None) -> str:
    """/etc/hosts: a program that looks up its own name finds it without a name server."""
    if entry.spec.network == "host":
        return Path("/etc/hosts").read_text()
    own = f"{address}\t{entry.hostname}\n" if address else ""
    return f"127.0.0.1\tlocalhost\n::1\tlocalhost\n{own}"


def _make_pipes() -> tuple[list[int], list[int]]:
    pairs = [os.pipe(), os.pipe()]
    return [reader for reader, _ in pairs], [writer for _, writer in pairs]


def _runc(places: Places, *arguments: str, check: bool = True) -> None:
    command = ["runc", "--root", str(places.runc_root), *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if check and done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise RuntimeFailedError(f"runc {arguments[0]} failed: {said}")


def _create(places: Places, writers: list[int]) -> int:
    """`runc create`; stdin is /dev/null, which runc opens again inside."""
    pid_file = places.bundle / "init.pid"
    log = places.bundle / "runc.log"
    command = ["runc", "--root", str(places.runc_root), "--log", str(log), "create"]
    command += ["--bundle", str(places.bundle), "--pid-file", str(pid_file), places.container]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=writers[0], stderr=writers[1], check=False
        )
    except FileNotFoundError as error:
        raise MachineError("runc is missing", hint="apt install runc") from error
    if done.returncode:
        said = log.read_text(errors="replace").strip() if log.exists() else ""
        raise RuntimeFailedError(f"runc create failed: {said or done.returncode}")
    return int(pid_file.read_text())


def _follow(places: Places, init: int, readers: list[int]) -> int:
    """Copy output to the log until PID 1 ended; its status."""
    log = os.open(places.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    pidfd = os.pidfd_open(init)
    poller = select.poll()
    for descriptor in (*readers, pidfd):
        poller.register(descriptor, select.POLLIN)
    ended = False
    while not ended:
        for descriptor, _ in poller.poll():
            if descriptor == pidfd:
                ended = True
            elif not _copy(descriptor, log):
                poller.unregister(descriptor)
    for reader in readers:
        os.set_blocking(reader, False)
        while _copy(reader, log):
            pass
    _, status = os.waitpid(init, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _copy(reader: int, log: int) -> bool:
    """One piece of output; False at its end. A log that is full loses output, not the app."""
    try:
        piece = os.read(reader, _CHUNK)
    except BlockingIOError:
        return False
    if not piece:
        return False
    try:
        os.write(log, piece)
    except OSError as error:
        print(f"output lost: {error}", file=sys.stderr)  # noqa: T201 - the shim's own log
    return True


def _remove_files(places: Places) -> None:
    rootfs = str(places.bundle / "rootfs")
    try:
        calls.umount2(rootfs, calls.MNT_DETACH)
    except OSError as error:
        print(f"{rootfs}: {error}", file=sys.stderr)  # noqa: T201
    for directory in (places.upper, places.work, places.bundle):
        tree.remove(directory)


if __name__ == "__main__":
    # A pipe whose reader is gone is an error to handle here, not a reason to leave a container.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    ctypes.CDLL(None).umask(0o022)
    try:
        sys.exit(main(sys.argv[1], sys.argv[2]))
    except Exception:
        traceback.print_exc()
        _tell({"error": "the container's shim failed; see shim.log"})
        sys.exit(1)
